"""The book of transfer orders: nothing twice, every order one answer, kept until acknowledged, bounded."""

from __future__ import annotations

from services.worker.domain.orderbook import OrderBook
from services.worker.domain.picture import Token
from services.worker.domain.transfer_answers import OrderNotDone, Sent, SourcePage
from services.worker.domain.transfer_orders import ChatReference, ReadSource, SendBatch, TransferOrder, Work

CHAT = ChatReference("", -100)
READ = ReadSource(CHAT, after_id=0)
SEND = SendBatch(CHAT, CHAT, (1,), (2,))
PAGE = SourcePage((), 5, end=True)


def order(order_id: str, work: Work = SEND) -> TransferOrder:
    return TransferOrder(order_id, "acc", Token(1, 1), 10.0, work)


def told(book: OrderBook, most: int = 100) -> list[str]:
    return [one.order_id for one in book.take(most)]


def test_an_order_is_opened_once_and_answered_once() -> None:
    book = OrderBook()
    assert book.open(order("a"))
    assert not book.open(order("a"))
    assert book.under_way == ("a",)
    assert book.close("a", Sent((1,), (7,)))
    assert not book.close("a", OrderNotDone("STOPPING"))
    assert book.under_way == ()
    (answer,) = book.take(10)
    assert answer.answer == Sent((1,), (7,))
    assert answer.account_id == "acc"
    assert not book.open(order("a")), "an answered order is not carried out again"
    assert told(book) == ["a"], "its answer is told again"


def test_answers_are_told_on_each_stream_until_they_are_acknowledged() -> None:
    book = OrderBook()
    for name in "abc":
        book.open(order(name))
        book.close(name, PAGE)
    assert told(book, 2) == ["a", "b"]
    assert book.untold == 1
    book.tell_again()
    assert told(book) == ["a", "b", "c"]
    book.acknowledge(["b", "unknown"])
    book.tell_again()
    assert told(book) == ["a", "c"]
    assert not book.open(order("b")), "an acknowledged order is not carried out again either"
    assert told(book) == []


def test_of_too_many_answers_the_ones_that_can_be_had_again_go_first() -> None:
    book = OrderBook(most_answers=2)
    for name, work, answer in (
        ("sent", SEND, Sent((1,), (7,))),
        ("page", READ, PAGE),
        ("refused before", SEND, OrderNotDone("LINK_DOWN")),
        ("sent too", SEND, Sent((1,), (8,))),
    ):
        book.open(order(name, work))
        book.close(name, answer)
    assert told(book) == ["sent", "sent too"]
    assert book.dropped == 2


def test_ids_seen_long_ago_are_forgotten() -> None:
    book = OrderBook(most_seen=3)
    for name in "abcd":
        assert book.open(order(name))
        book.close(name, PAGE)
    book.acknowledge("abcd")
    assert book.open(order("a"))
    assert not book.open(order("d"))
