"""The part of the control API on the wire that is about chats."""

from __future__ import annotations

from typing import Any

from services.runtime.errors import InvalidArgument
from services.testdc import conversions as convert
from services.testdc.domain.errors import TelegramError
from services.testdc.handlers import Control
from tgfleet.testdc.v1 import control_pb2 as pb

_PAGE = 100
_MAX_PAGE = 10_000


class ChatServicer:
    """Chats and what is in them; see the proto."""

    _control: Control

    async def CreateChat(self, request: pb.CreateChatRequest, context: Any) -> pb.CreateChatResponse:
        """See the proto."""
        history = convert.history_in(request.history) if request.HasField("history") else None
        first = last = 0
        if request.kind == pb.CHAT_KIND_BASIC_GROUP:
            peer = self._control.create_group(request.title, request.creator_id, request.member_ids)
            if history is not None:
                first, last = self._control.generate(peer, history)
        elif request.kind in {pb.CHAT_KIND_SUPERGROUP, pb.CHAT_KIND_BROADCAST}:
            peer = self._control.create_channel(
                request.title,
                request.creator_id,
                request.member_ids,
                broadcast=request.kind == pb.CHAT_KIND_BROADCAST,
                username=request.username,
                admins=request.admin_ids,
                protected=request.protected,
                slow_mode=request.slow_mode_seconds,
                history=history,  # the channel is older than what is in it
            )
            if history is not None:
                first, last = 2, 1 + history.count  # after the message that opened it
        else:
            raise InvalidArgument("Say what kind of chat it is.", field="kind")
        return pb.CreateChatResponse(chat=convert.chat_out(peer), first_id=first, last_id=last)

    async def GenerateMessages(
        self, request: pb.GenerateMessagesRequest, context: Any
    ) -> pb.GenerateMessagesResponse:
        """See the proto."""
        chat, history = convert.chat_in(request.chat), convert.history_in(request.history)
        first, last = self._control.generate(chat, history)
        return pb.GenerateMessagesResponse(first_id=first, last_id=last)

    async def UpdateChat(self, request: pb.UpdateChatRequest, context: Any) -> pb.UpdateChatResponse:
        """See the proto."""
        self._control.update_chat(
            convert.chat_in(request.chat),
            protected=request.protected if request.HasField("protected") else None,
            slow_mode=request.slow_mode_seconds if request.HasField("slow_mode_seconds") else None,
            locked=request.locked if request.HasField("locked") else None,
        )
        return pb.UpdateChatResponse()

    async def SetMember(self, request: pb.SetMemberRequest, context: Any) -> pb.SetMemberResponse:
        """See the proto."""
        role = convert.role_in(request.role)
        self._control.set_member(convert.chat_in(request.chat), request.user_id, role)
        return pb.SetMemberResponse()

    async def SetTopic(self, request: pb.SetTopicRequest, context: Any) -> pb.SetTopicResponse:
        """See the proto."""
        chat = convert.chat_in(request.chat)
        number = self._control.set_topic(chat, request.topic_id, request.title, closed=request.closed)
        return pb.SetTopicResponse(topic_id=number)

    async def MigrateGroup(self, request: pb.MigrateGroupRequest, context: Any) -> pb.MigrateGroupResponse:
        """See the proto."""
        peer = self._control.migrate_group(convert.chat_in(request.chat))
        return pb.MigrateGroupResponse(chat=convert.chat_out(peer))

    async def DeleteMessages(
        self, request: pb.DeleteMessagesRequest, context: Any
    ) -> pb.DeleteMessagesResponse:
        """See the proto."""
        chat = convert.chat_in(request.chat)
        self._control.delete_messages(chat, request.message_ids, request.user_id)
        return pb.DeleteMessagesResponse()

    async def SpoilMessages(self, request: pb.SpoilMessagesRequest, context: Any) -> pb.SpoilMessagesResponse:
        """See the proto."""
        error = None if request.good else TelegramError(request.code or 400, request.error or "MEDIA_EMPTY")
        self._control.spoil_messages(convert.chat_in(request.chat), request.message_ids, error)
        return pb.SpoilMessagesResponse()

    async def SendMessage(self, request: pb.SendMessageRequest, context: Any) -> pb.SendMessageResponse:
        """See the proto."""
        message = self._control.send_message(
            request.sender_id,
            convert.chat_in(request.chat),
            request.text,
            request.reply_to,
            media=convert.media_in(request.media),
            topic_id=request.topic_id,
        )
        return pb.SendMessageResponse(message=convert.message_out(message))

    async def SendAlbum(self, request: pb.SendAlbumRequest, context: Any) -> pb.SendAlbumResponse:
        """See the proto."""
        parts = [kind for part in request.parts if (kind := convert.media_in(part))]
        chat = convert.chat_in(request.chat)
        sent = self._control.send_album(request.sender_id, chat, parts, request.caption, request.topic_id)
        return pb.SendAlbumResponse(messages=map(convert.message_out, sent))

    async def ForwardMessages(
        self, request: pb.ForwardMessagesRequest, context: Any
    ) -> pb.ForwardMessagesResponse:
        """See the proto."""
        source, target = convert.chat_in(request.source), convert.chat_in(request.target)
        sent = self._control.forward_messages(
            request.sender_id, source, target, request.message_ids, drop_author=request.drop_author
        )
        return pb.ForwardMessagesResponse(messages=map(convert.message_out, sent))

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Any) -> pb.ListMessagesResponse:
        """See the proto."""
        chat = convert.chat_in(request.chat)
        after = request.after_id if request.HasField("after_id") else None
        size = min(request.page_size or _PAGE, _MAX_PAGE)
        messages = self._control.get_messages(request.user_id, chat, size, after)
        shown = convert.within_a_message(map(convert.message_out, messages))
        return pb.ListMessagesResponse(messages=shown)
