"""The responders. Each module is found by its being here; see `services.worker.chat.responder`."""
