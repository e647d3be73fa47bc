"""Answering chats: the desk that asks the policy and sends, and responders that know what to say."""
