"""The simulated Stripe: a stateful stand-in that the official package drives. A guide for those who build on it.

**Addresses.** `StripeClient(KEY, base_addresses={"api": f"{sandbox}/stripe"})`; the key and the secrets are constants
in `credentials.py`. Routes are under `/stripe/v1`, hosted pages under `/stripe/pay` (a session's `url` leads there and
works by hand, without JavaScript), the control API under `/sandbox/stripe`. JSON goes in and out of the control API.

**The shape** is that of API 2025-03-31 and later: `invoice.parent.subscription_details.subscription`,
`line.pricing.price_details.price`, periods on subscription items; charges and payment intents do not name
their invoice: ask `GET /v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]=...`.

**Webhooks.** `POST /v1/webhook_endpoints` {url, enabled_events}: every endpoint signs with `WEBHOOK_SECRET`, so that
it can stand in a configuration; after `POST /sandbox/stripe/webhook_endpoints/{id}/roll` {keeps_s} with
`NEXT_WEBHOOK_SECRET`, and with both for `keeps_s` seconds. Order is that of the events; a refused delivery is repeated
after 1, 2, 4, 8, 15, 30, 60 s times `--retry-scale`.

**Customers and banks do** (all POST below /sandbox/stripe):
    /checkout/{cs}/pay {with: "pm_card_visa", email}   `cards.TOKENS` lists what to pay with; a decline answers 402 and
                                                       leaves the session open; pm_usBankAccount stays `processing`
    /checkout/{cs}/expire
    /payments/{pi}/settle {outcome: succeeded|failed}   the end of `processing` and of `requires_action`
    /payment_methods/{pm} {behaves: declines}   from now on (`cards.BEHAVIOURS`): so a renewal or a top-up fails
    /refunds {charge|payment_intent, amount}    without the API's check for disputes;   /refunds/{re}/fail
    /disputes {charge|payment_intent, amount, inquiry, reason}   /disputes/{du}/escalate
    /disputes/{du}/amount {amount}
    /disputes/{du}/close {outcome: won|lost|warning_closed}      /credit_notes/{cn}/void
    /fraud_warnings {charge}   /reviews {charge}   /reviews/{prv}/close {reason}   /payouts {currency}
    /catalog {products: [{id, name, prices: [{id, currency, unit_amount, recurring, lookup_key}]}]}   ids of your own
    /events {type, object: id or document, livemode, account}   any event, for rows that no rule here produces
    /clock {days: 31} or {to: unix seconds}  sessions expire, trials and periods end, failed invoices are tried again
                                             (also Stripe's own test clocks: POST /v1/test_helpers/test_clocks)

**Order and faults.** PUT /sandbox/stripe/webhooks {held: true} keeps webhooks; POST .../webhooks/send {events: [ids],
signed: right|wrong|old|stale|none} sends exactly these, in this order, again if need be, and answers with the statuses;
GET .../deliveries?settled_within=5 waits until nothing is left to be sent. PUT .../faults {faults: [{word, on, times,
seconds, count}]} with the words of `faults.py`, for example {word: answer_lost, on: "POST /v1/refunds", times: 1} or
{word: webhook_duplicate, on: "invoice.*"}. GET /sandbox/stripe shows the state, DELETE forgets everything.

**Not as at Stripe**: any three letters are a currency; automatic tax is ten percent on top; an invoice is finalized and
collected at once; a payment that never ends needs /settle; `search`, Connect, meters and schedules are missing.
"""

from sandbox.stripe.service import StripeService

__all__ = ["StripeService"]
