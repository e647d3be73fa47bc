"""One file per outside thing; its library's errors stop here. Only the `telegram_*` files import
`pyrogram`."""
