"""All routers of the operator API. A new resource is a module here and a line in the table."""

from __future__ import annotations

from api.admin import (
    accounts,
    adjustments,
    alerts,
    audit,
    costs,
    credits,
    generations,
    keys,
    operators,
    plans,
    providers,
    refunds,
    requests,
    seals,
    spending,
    statement,
    stripe,
    verification,
    webhook_deliveries,
    webhooks,
)

ROUTERS = (
    accounts.router,
    keys.router,
    credits.router,
    refunds.router,
    adjustments.router,
    statement.router,
    costs.router,
    alerts.router,
    spending.router,
    verification.router,
    seals.router,
    webhooks.router,
    webhook_deliveries.router,
    requests.router,
    generations.router,
    plans.router,
    providers.router,
    stripe.router,
    operators.router,
    audit.router,
)
