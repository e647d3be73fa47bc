"""Messages as TL shows them: media, headers of forwards, service messages."""

from __future__ import annotations

from typing import Any

from services.testdc.domain.media import Media, MediaKind
from services.testdc.domain.message import Message, Origin
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.tl import raw

_SIZE = 12_345
"""Bytes of every file, none of which can be loaded."""
_FILES = {
    MediaKind.VIDEO: ("video.mp4", "video/mp4"),
    MediaKind.DOCUMENT: ("document.pdf", "application/pdf"),
    MediaKind.AUDIO: ("audio.mp3", "audio/mpeg"),
    MediaKind.VOICE: ("voice.ogg", "audio/ogg"),
    MediaKind.VIDEO_NOTE: ("note.mp4", "video/mp4"),
    MediaKind.ANIMATION: ("animation.mp4", "video/mp4"),
    MediaKind.STICKER: ("sticker.webp", "image/webp"),
}


def raw_peer(peer: Peer) -> Any:
    """A chat partner as TL names it."""
    if peer.kind is PeerKind.USER:
        return raw.types.PeerUser(user_id=peer.peer_id)
    if peer.kind is PeerKind.CHAT:
        return raw.types.PeerChat(chat_id=peer.peer_id)
    return raw.types.PeerChannel(channel_id=peer.peer_id)


def show_message(message: Message, *, is_out: bool, names_sender: bool) -> Any:
    """A message as TL has it; a service message has an action instead of text."""
    common: dict[str, Any] = {
        "id": message.message_id,
        "peer_id": raw_peer(message.peer),
        "from_id": raw_peer(message.sender) if names_sender else None,
        "date": message.date,
        "out": is_out or None,
        "silent": message.silent or None,
        "post": message.sender.kind is PeerKind.CHANNEL or None,
        "reply_to": _reply(message),
    }
    if message.service:
        return raw.types.MessageService(action=_action(message), **common)
    return raw.types.Message(
        message=message.text,
        entities=list(message.entities) or None,
        media=_media(message.media, message.date) if message.media else None,
        grouped_id=message.grouped_id or None,
        fwd_from=_origin(message.origin) if message.origin else None,
        **common,
    )


def _origin(origin: Origin) -> Any:
    return raw.types.MessageFwdHeader(
        date=origin.date,
        from_id=raw_peer(origin.peer) if origin.peer else None,
        from_name=origin.name or None,
        channel_post=origin.post or None,
        saved_from_peer=raw_peer(origin.saved_peer) if origin.saved_peer else None,
        saved_from_msg_id=origin.saved_id or None,
    )


def _reply(message: Message) -> Any:
    if message.topic_id and message.topic_id != message.message_id:
        return raw.types.MessageReplyHeader(
            forum_topic=True,
            reply_to_msg_id=message.reply_to or message.topic_id,
            reply_to_top_id=message.topic_id if message.reply_to else None,
        )
    return raw.types.MessageReplyHeader(reply_to_msg_id=message.reply_to) if message.reply_to else None


def _action(message: Message) -> Any:
    text, author = message.service_text, message.author_id
    match message.service:
        case "create" if message.peer.kind is PeerKind.CHANNEL:
            return raw.types.MessageActionChannelCreate(title=text)
        case "create":
            return raw.types.MessageActionChatCreate(title=text, users=[author])
        case "topic":
            return raw.types.MessageActionTopicCreate(title=text, icon_color=0)
        case "title":
            return raw.types.MessageActionChatEditTitle(title=text)
        case "join":
            return raw.types.MessageActionChatAddUser(users=[author])
        case "migrate_to":
            return raw.types.MessageActionChatMigrateTo(channel_id=int(text))
        case "migrate_from":
            title, _, chat_id = text.rpartition(" ")
            return raw.types.MessageActionChannelMigrateFrom(title=title, chat_id=int(chat_id))
        case _:
            return raw.types.MessageActionPinMessage()


def _media(media: Media, date: int) -> Any:
    match media.kind:
        case MediaKind.PHOTO:
            return raw.types.MessageMediaPhoto(photo=_photo(media, date))
        case MediaKind.POLL:
            return _poll(media)
        case MediaKind.CONTACT:
            return raw.types.MessageMediaContact(
                phone_number=str(media.media_id), first_name="Contact", last_name="", vcard="", user_id=0
            )
        case MediaKind.LOCATION:
            place = raw.types.GeoPoint(long=media.media_id % 180, lat=media.media_id % 90, access_hash=0)
            return raw.types.MessageMediaGeo(geo=place)
        case _:
            return raw.types.MessageMediaDocument(
                document=_document(media, date),
                video=media.kind is MediaKind.VIDEO or None,
                round=media.kind is MediaKind.VIDEO_NOTE or None,
                voice=media.kind is MediaKind.VOICE or None,
            )


def _photo(media: Media, date: int) -> Any:
    return raw.types.Photo(
        id=media.media_id,
        access_hash=media.media_id,
        file_reference=b"reference",
        date=date,
        sizes=[raw.types.PhotoSize(type="x", w=800, h=600, size=_SIZE)],
        dc_id=2,
    )


def _document(media: Media, date: int) -> Any:
    name, mime = _FILES[media.kind]
    return raw.types.Document(
        id=media.media_id,
        access_hash=media.media_id,
        file_reference=b"reference",
        date=date,
        mime_type=mime,
        size=_SIZE,
        dc_id=2,
        attributes=[*_attributes(media.kind), raw.types.DocumentAttributeFilename(file_name=name)],
    )


def _attributes(kind: MediaKind) -> list[Any]:
    match kind:
        case MediaKind.VIDEO | MediaKind.VIDEO_NOTE:
            is_round = kind is MediaKind.VIDEO_NOTE or None
            return [raw.types.DocumentAttributeVideo(duration=1.0, w=320, h=320, round_message=is_round)]
        case MediaKind.ANIMATION:
            video = raw.types.DocumentAttributeVideo(duration=1.0, w=320, h=320, nosound=True)
            return [video, raw.types.DocumentAttributeAnimated()]
        case MediaKind.AUDIO | MediaKind.VOICE:
            return [raw.types.DocumentAttributeAudio(duration=1, voice=kind is MediaKind.VOICE or None)]
        case MediaKind.STICKER:
            empty = raw.types.InputStickerSetEmpty()
            return [raw.types.DocumentAttributeSticker(alt="*", stickerset=empty)]
        case _:
            return []


def _poll(media: Media) -> Any:
    def plain(text: str) -> Any:
        return raw.types.TextWithEntities(text=text, entities=[])

    answers = [raw.types.PollAnswer(text=plain(t), option=t.encode()) for t in ("yes", "no")]
    poll = raw.types.Poll(id=media.media_id, question=plain("Well?"), answers=answers, hash=0)
    return raw.types.MessageMediaPoll(poll=poll, results=raw.types.PollResults())
