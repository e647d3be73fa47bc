"""Pages read by hand say what the library says of the same bytes, whatever a message carries."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pyrogram import raw

from services.worker.adapters import telegram_messages
from services.worker.adapters.telegram_packets import Unread
from services.worker.adapters.telegram_pages import LeanMessage, LeanPage, read_page

t = raw.types
PEER = t.PeerChannel(channel_id=3)
SIZE = t.PhotoSize(type="x", w=1, h=2, size=3)
PHOTO = t.Photo(id=5, access_hash=6, file_reference=b"ref", date=7, sizes=[SIZE], dc_id=2)
FILE = t.Document(
    id=8,
    access_hash=9,
    file_reference=b"r" * 300,
    date=1,
    mime_type="video/mp4",
    size=5,
    dc_id=2,
    attributes=[t.DocumentAttributeVideo(duration=1.5, w=1, h=1), t.DocumentAttributeFilename(file_name="f")],
)
BUTTON = t.KeyboardButtonRow(buttons=[t.KeyboardButton(text="button", type=t.ButtonTypeDefault())])
CHOICES: dict[str, list[Any]] = {
    "out": [True],
    "post": [True],
    "silent": [True],
    "noforwards": [True],
    "offline": [True],
    "from_id": [t.PeerUser(user_id=1), PEER],
    "from_boosts_applied": [4],
    "from_rank": ["", "rank", "r" * 300],
    "saved_peer_id": [t.PeerChat(chat_id=9)],
    "fwd_from": [
        t.MessageFwdHeader(date=1, from_name="H"),
        t.MessageFwdHeader(date=1, from_id=PEER, channel_post=9),
    ],
    "via_bot_id": [7],
    "via_business_bot_id": [7],
    "guestchat_via_from": [t.PeerUser(user_id=1)],
    "reply_to": [t.MessageReplyHeader(reply_to_msg_id=5, reply_to_top_id=2, forum_topic=True)],
    "media": [
        t.MessageMediaPhoto(photo=PHOTO),
        t.MessageMediaDocument(document=FILE, video=True),
        t.MessageMediaGeo(geo=t.GeoPoint(long=1.0, lat=2.0, access_hash=3)),
        t.MessageMediaWebPage(webpage=t.WebPageEmpty(id=1)),
    ],
    "reply_markup": [t.ReplyKeyboardMarkup(rows=[BUTTON])],
    "entities": [
        [t.MessageEntityBold(offset=0, length=1), t.MessageEntityTextUrl(offset=0, length=1, url="u")]
    ],
    "views": [5],
    "replies": [t.MessageReplies(replies=1, replies_pts=2)],
    "edit_date": [9],
    "post_author": ["author"],
    "grouped_id": [-(1 << 60), 1 << 60],
    "reactions": [
        t.MessageReactions(results=[t.ReactionCount(reaction=t.ReactionEmoji(emoticon="x"), count=1)])
    ],
    "restriction_reason": [[t.RestrictionReason(platform="p", reason="r", text="t")]],
    "ttl_period": [60],
    "quick_reply_shortcut_id": [3],
    "effect": [4],
    "factcheck": [t.FactCheck(hash=1)],
    "report_delivery_until_date": [5],
    "paid_message_stars": [6],
    "suggested_post": [t.SuggestedPost()],
    "schedule_repeat_period": [7],
    "summary_from_language": ["en"],
}
TEXTS = ["", "abc", "ж" * 100, "x" * 253, "x" * 254, "x" * 255, "x" * 4096, "😀 family"]


def drawn(rng: random.Random, number: int) -> Any:
    kind = rng.random()
    if kind < 0.05:
        return t.MessageEmpty(id=number, peer_id=PEER)
    if kind < 0.15:
        return t.MessageService(id=number, peer_id=PEER, date=3, action=t.MessageActionPinMessage())
    share = rng.random()
    more = {name: rng.choice(some) for name, some in CHOICES.items() if rng.random() < share}
    if "views" in more:
        more["forwards"] = 6
    return t.Message(id=number, peer_id=PEER, date=rng.randrange(1 << 31), message=rng.choice(TEXTS), **more)


def page_of(messages: list[Any], **more: Any) -> Unread:
    channel = t.Channel(id=3, title="C", photo=t.ChatPhotoEmpty(), date=1, access_hash=4)
    page = t.messages.ChannelMessages(
        pts=1, count=len(messages), messages=messages, topics=[], chats=[channel], users=[], **more
    )
    return Unread(page.write())


def as_filters_see(message: Any) -> tuple[Any, ...]:
    if isinstance(message, t.MessageEmpty | t.MessageService):
        return (type(message).__name__, message.id)
    kind = telegram_messages.media_kind(message)
    return (message.id, message.date, message.message, kind, message.grouped_id or 0)


@pytest.mark.parametrize("seed", range(30))
def test_the_same_is_seen_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    answer = page_of([drawn(rng, n) for n in range(1, 60)], offset_id_offset=rng.choice([None, 5]))
    whole, lean = answer.read(), read_page(answer)
    assert isinstance(lean, LeanPage), "read by hand, not by the library"
    assert any(isinstance(one, LeanMessage) for one in lean.messages)
    assert [as_filters_see(one) for one in lean.messages] == [as_filters_see(one) for one in whole.messages]
    assert [one.id for one in lean.chats] == [3]


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_every_field_alone(name: str) -> None:
    for value in CHOICES[name]:
        more = {name: value} | ({"forwards": 1} if name == "views" else {})
        message = t.Message(id=1, peer_id=PEER, date=2, message="text", **more)
        answer = page_of([message, message])
        lean = read_page(answer)
        assert isinstance(lean, LeanPage), name
        assert [as_filters_see(one) for one in lean.messages] == [as_filters_see(message)] * 2


def test_what_is_not_understood_is_left_to_the_library() -> None:
    good = page_of([t.Message(id=1, peer_id=PEER, date=2, message="text")])
    assert isinstance(read_page(good), LeanPage)
    assert isinstance(read_page(Unread(good.data + b"\0\0\0\0")), t.messages.ChannelMessages)
    slice_ = t.messages.MessagesSlice(count=0, messages=[], topics=[], chats=[], users=[])
    assert isinstance(read_page(Unread(slice_.write())), t.messages.MessagesSlice)
    assert read_page(slice_) is slice_
    # A second flag that this layer does not know: the library reads on as it knows, and so do we not.
    at = good.data.index((0x7600B9D3).to_bytes(4, "little")) + 8
    odd = bytearray(good.data)
    odd[at + 3] |= 0x40
    assert isinstance(read_page(Unread(bytes(odd))), t.messages.ChannelMessages)


def test_a_page_that_is_cut_off_is_an_error_as_it_is_for_the_library() -> None:
    good = page_of([t.Message(id=1, peer_id=PEER, date=2, message="text")])
    with pytest.raises(KeyError):
        read_page(Unread(good.data[:60]))
