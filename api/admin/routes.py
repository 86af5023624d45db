"""All routers of the operator API. A new resource is a module here and a line in the table."""

from __future__ import annotations

from api.admin import (
    accounts,
    audit,
    credits,
    generations,
    keys,
    operators,
    plans,
    providers,
    requests,
    webhook_deliveries,
    webhooks,
)

ROUTERS = (
    accounts.router,
    keys.router,
    credits.router,
    webhooks.router,
    webhook_deliveries.router,
    requests.router,
    generations.router,
    plans.router,
    providers.router,
    operators.router,
    audit.router,
)
