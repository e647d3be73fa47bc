"""What a transfer sees of raw chats and messages: names that people write, rights, kinds of media, traces."""

from __future__ import annotations

import hashlib

import pytest
from pyrogram import raw

from services.worker.adapters import telegram_messages
from services.worker.adapters.telegram_rights import exempt_from_slow_mode, facts_of, may_manage_topics
from services.worker.domain.chat_names import ById, ByInvite, ByName, ChatName, Myself, read


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("@durov", ByName("durov")),
        ("  Durov ", ByName("durov")),
        ("https://t.me/durov", ByName("durov")),
        ("t.me/s/durov/15?single", ByName("durov")),
        ("https://telegram.me/Durov/15", ByName("durov")),
        ("tg://resolve?domain=durov", ByName("durov")),
        ("-1001234567890", ById(-1001234567890)),
        ("-42", ById(-42)),
        ("777", ById(777)),
        ("https://t.me/c/1234567890/55", ById(-1001234567890)),
        ("https://t.me/+AbC-d_1", ByInvite("AbC-d_1")),
        ("t.me/joinchat/AbC", ByInvite("AbC")),
        ("me", Myself()),
        ("Self", Myself()),
        ("", None),
        ("a", None),
        ("two words", None),
        ("https://example.org/durov", None),
        ("@1abc", None),
        ("t.me/", None),
    ],
)
def test_what_people_write_for_a_chat(query: str, meant: ChatName | None) -> None:
    assert read(query) == meant


def channel(**more: object) -> raw.types.Channel:
    return raw.types.Channel(id=5, title="T", photo=raw.types.ChatPhotoEmpty(), date=1, **more)


def banned(**more: bool) -> raw.types.ChatBannedRights:
    return raw.types.ChatBannedRights(until_date=0, **more)


POSTER = raw.types.ChatAdminRights(post_messages=True)
EDITOR = raw.types.ChatAdminRights(edit_messages=True)


@pytest.mark.parametrize(
    ("chat", "reads", "posts"),
    [
        (channel(broadcast=True), True, False),
        (channel(broadcast=True, creator=True), True, True),
        (channel(broadcast=True, admin_rights=POSTER), True, True),
        (channel(broadcast=True, admin_rights=EDITOR), True, False),
        (channel(broadcast=True, left=True), False, False),
        (channel(broadcast=True, left=True, username="open"), True, False),
        (channel(megagroup=True), True, True),
        (channel(megagroup=True, left=True, username="open"), True, False),
        (channel(megagroup=True, gigagroup=True), True, False),
        (channel(megagroup=True, banned_rights=banned(send_messages=True)), True, False),
        (channel(megagroup=True, banned_rights=banned(view_messages=True)), False, False),
        (channel(megagroup=True, default_banned_rights=banned(send_messages=True)), True, False),
        (channel(megagroup=True, default_banned_rights=banned(send_polls=True)), True, True),
        (
            channel(megagroup=True, default_banned_rights=banned(send_messages=True), admin_rights=EDITOR),
            True,
            True,
        ),
    ],
)
def test_rights_in_channels(chat: raw.types.Channel, reads: bool, posts: bool) -> None:
    facts = facts_of(chat, own_id=1)
    assert (facts.chat_id, facts.can_read, facts.can_post) == (-1000000000005, reads, posts)
    assert facts.kind == ("channel" if chat.broadcast else "supergroup")
    assert may_manage_topics(chat) is bool(chat.creator)
    assert exempt_from_slow_mode(chat) is bool(chat.creator or chat.admin_rights)


def group(**more: object) -> raw.types.Chat:
    photo = raw.types.ChatPhotoEmpty()
    return raw.types.Chat(id=5, title="G", photo=photo, participants_count=2, date=1, version=1, **more)


def test_rights_elsewhere() -> None:
    assert facts_of(group(), 1).can_post
    assert not facts_of(group(left=True), 1).can_read
    assert not facts_of(group(default_banned_rights=banned(send_messages=True)), 1).can_post
    moved = facts_of(
        group(deactivated=True, migrated_to=raw.types.InputChannel(channel_id=9, access_hash=1)), 1
    )
    assert (moved.chat_id, moved.migrated_to_chat_id, moved.can_post) == (-5, -1000000000009, False)
    assert facts_of(channel(broadcast=True, noforwards=True), 1).protected
    assert facts_of(raw.types.User(id=1, first_name="Me"), 1).kind == "self"
    other = facts_of(raw.types.User(id=2, first_name="A", last_name="B"), 1)
    assert (other.kind, other.title) == ("user", "A B")
    forbidden = raw.types.ChannelForbidden(id=5, access_hash=1, title="T", broadcast=True)
    assert facts_of(forbidden, 1).error == "CHANNEL_PRIVATE"
    assert facts_of(None, 1).error == "CHAT_NOT_FOUND"


def test_a_forward_header_without_an_id_is_told_from_none() -> None:
    def traced(header: object) -> tuple[int, int]:
        peer = raw.types.PeerChannel(channel_id=7)
        message = raw.types.Message(id=1, peer_id=peer, date=1, message="x", fwd_from=header)
        found = telegram_messages.trace(message)
        return found.forward_chat_id, found.forward_message_id

    header = raw.types.MessageFwdHeader
    channel = raw.types.PeerChannel(channel_id=9)
    assert traced(None) == (0, 0)
    assert traced(header(date=1, from_id=channel, channel_post=5)) == (-1000000000009, 5)
    assert traced(header(date=1, from_id=raw.types.PeerUser(user_id=3))) == (3, 0)
    assert traced(header(date=1, from_name="Hidden")) == (1, 0)
    assert traced(header(date=1, from_name="H", saved_from_peer=channel, saved_from_msg_id=5)) == (1, 0)


def test_texts_are_compared_with_their_entities_and_never_travel() -> None:
    bold = raw.types.MessageEntityBold(offset=0, length=2)
    link = raw.types.MessageEntityTextUrl(offset=0, length=2, url="https://example.org")
    hashes = {
        telegram_messages.text_hash("ab", ()),
        telegram_messages.text_hash("ab", [bold]),
        telegram_messages.text_hash("ab", [link]),
        telegram_messages.text_hash("ab", [bold, link]),
    }
    assert len(hashes) == 4
    assert telegram_messages.text_hash("", ()) == hashlib.sha256(b"").digest()


def test_media_kinds_are_told_apart() -> None:
    t = raw.types

    def kind(media: object) -> str:
        message = t.Message(id=1, peer_id=t.PeerChannel(channel_id=7), date=1, message="", media=media)
        return telegram_messages.media_kind(message)

    def document(*attributes: object, **more: bool) -> object:
        file = t.Document(
            id=1,
            access_hash=1,
            file_reference=b"",
            date=1,
            mime_type="",
            size=1,
            dc_id=2,
            attributes=[*attributes],
        )
        return t.MessageMediaDocument(document=file, **more)

    size = {"duration": 1.0, "w": 1, "h": 1}
    sticker = t.DocumentAttributeSticker(alt="", stickerset=t.InputStickerSetEmpty())
    assert kind(None) == "TEXT"
    assert kind(t.MessageMediaWebPage(webpage=t.WebPageEmpty(id=1))) == "TEXT"
    assert kind(t.MessageMediaPhoto(photo=t.PhotoEmpty(id=1))) == "PHOTO"
    assert kind(document()) == "DOCUMENT"
    assert kind(document(t.DocumentAttributeVideo(**size))) == "VIDEO"
    assert kind(document(t.DocumentAttributeVideo(**size, round_message=True))) == "VIDEO"
    assert kind(document(t.DocumentAttributeVideo(**size), t.DocumentAttributeAnimated())) == "ANIMATION"
    assert kind(document(sticker, t.DocumentAttributeImageSize(w=1, h=1))) == "STICKER"
    assert kind(document(t.DocumentAttributeAudio(duration=1))) == "AUDIO"
    assert kind(document(t.DocumentAttributeAudio(duration=1, voice=True))) == "VOICE"
    assert kind(t.MessageMediaDice(value=1, emoticon="")) == "OTHER"
    assert kind(t.MessageMediaGeo(geo=t.GeoPointEmpty())) == "OTHER"
