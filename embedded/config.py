"""What the embedded stack needs to know: its folder, its ports, and the settings it gives to its processes."""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

HOST = "127.0.0.1"

# What the simulated providers accept (sandbox/credentials.py). They guard nothing: the sandbox only runs on loopback.
SANDBOX_ALIBABACLOUD_KEY = "sk-sandbox00000000000000000000000000"
SANDBOX_REPLICATE_TOKEN = "r8_sandbox0000000000000000000000000000000"  # noqa: S105
SANDBOX_REPLICATE_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-webhook-secret-0").decode()
SANDBOX_BYTEPLUS_KEY = "00000000-0000-4000-8000-00000000a4c0"
SANDBOX_BFL_KEY = "00000000-0000-4000-8000-000000000002"
SANDBOX_RUNWAY_KEY = "key_sandbox00000000000000000000000000000000"
SANDBOX_CLOUDFLARE_TOKEN = "sandbox-workers-ai-token-0000000000000000"  # noqa: S105
SANDBOX_CLOUDFLARE_ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
SANDBOX_FAL_KEY = "00000000-0000-4000-8000-000000000001:sandboxsecret"
SANDBOX_OPENAI_KEY = "sk-proj-sandbox000000000000000000000000"
SANDBOX_STRIPE_KEY = "sk_test_sandbox0000000000000000000000000000"
SANDBOX_STRIPE_WEBHOOK_SECRET = "whsec_sandbox00000000000000000000000000"  # noqa: S105
SANDBOX_OPENAI_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-openai-webhook-secret-00").decode()


@dataclass(frozen=True)
class Port:
    """A port of the stack and the two ways to change it."""

    part: str
    default: int

    @property
    def option(self) -> str:
        return f"--{self.part}-port"

    @property
    def variable(self) -> str:
        return f"BABYSEA_{self.part.upper().replace('-', '_')}_PORT"


API_PORT = Port("api", 8080)
TEMPORAL_PORT = Port("temporal", 7233)
TEMPORAL_UI_PORT = Port("temporal-ui", 8233)
SANDBOX_PORT = Port("sandbox", 8090)
PORTS = (API_PORT, TEMPORAL_PORT, TEMPORAL_UI_PORT, SANDBOX_PORT)

DATA_VARIABLE = "BABYSEA_DATA"
DATA_DEFAULT = Path(".data")


@dataclass(frozen=True)
class StackPorts:
    """The port of each part. 0 asks for any free one."""

    api: int = API_PORT.default
    temporal: int = TEMPORAL_PORT.default
    temporal_ui: int = TEMPORAL_UI_PORT.default
    sandbox: int = SANDBOX_PORT.default

    def named(self) -> dict[Port, int]:
        return dict(zip(PORTS, (getattr(self, field.name) for field in fields(self)), strict=True))


@dataclass(frozen=True)
class StackConfig:
    """One stack: everything it keeps is below `data`."""

    data: Path = DATA_DEFAULT
    ports: StackPorts = StackPorts()

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.ports.api}"

    @property
    def temporal_address(self) -> str:
        return f"{HOST}:{self.ports.temporal}"

    @property
    def temporal_ui_url(self) -> str:
        return f"http://{HOST}:{self.ports.temporal_ui}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.ports.sandbox}"

    @property
    def artifacts(self) -> Path:
        return self.data / "artifacts"

    @property
    def logs(self) -> Path:
        return self.data / "logs"


def environment(config: StackConfig, database_url: str) -> dict[str, str]:
    """The settings of the stack's own processes. They win over whatever the surrounding environment says."""
    return {
        "BABYSEA_SECRET_KEY": secret_key(config.data),
        "BABYSEA_DATABASE_URL": database_url,
        "BABYSEA_TEMPORAL_ADDRESS": config.temporal_address,
        "BABYSEA_TEMPORAL_NAMESPACE": "default",
        "BABYSEA_API_HOST": HOST,
        "BABYSEA_API_PORT": str(config.ports.api),
        "BABYSEA_PUBLIC_URL": config.api_url,
        "BABYSEA_STORAGE_PATH": str(config.artifacts.absolute()),
        "BABYSEA_ALIBABACLOUD_KEY": SANDBOX_ALIBABACLOUD_KEY,
        "BABYSEA_ALIBABACLOUD_BASE_URL": f"{config.sandbox_url}/alibabacloud/api/v1",
        "BABYSEA_REPLICATE_API_TOKEN": SANDBOX_REPLICATE_TOKEN,
        "BABYSEA_REPLICATE_WEBHOOK_SECRET": SANDBOX_REPLICATE_WEBHOOK_SECRET,
        "BABYSEA_REPLICATE_BASE_URL": f"{config.sandbox_url}/replicate/v1",
        "BABYSEA_BYTEPLUS_KEY": SANDBOX_BYTEPLUS_KEY,
        "BABYSEA_BYTEPLUS_BASE_URL": f"{config.sandbox_url}/byteplus/api/v3",
        "BABYSEA_BFL_KEY": SANDBOX_BFL_KEY,
        "BABYSEA_BFL_BASE_URL": f"{config.sandbox_url}/bfl",
        "BABYSEA_RUNWAY_KEY": SANDBOX_RUNWAY_KEY,
        "BABYSEA_RUNWAY_BASE_URL": f"{config.sandbox_url}/runway",
        "BABYSEA_CLOUDFLARE_TOKEN": SANDBOX_CLOUDFLARE_TOKEN,
        "BABYSEA_CLOUDFLARE_ACCOUNT_ID": SANDBOX_CLOUDFLARE_ACCOUNT_ID,
        "BABYSEA_CLOUDFLARE_BASE_URL": f"{config.sandbox_url}/cloudflare/client/v4",
        "BABYSEA_FAL_KEY": SANDBOX_FAL_KEY,
        "BABYSEA_FAL_QUEUE_URL": f"{config.sandbox_url}/fal/queue",
        "BABYSEA_FAL_REST_URL": f"{config.sandbox_url}/fal/rest",
        "BABYSEA_FAL_PLATFORM_URL": f"{config.sandbox_url}/fal/platform/v1",
        "BABYSEA_OPENAI_KEY": SANDBOX_OPENAI_KEY,
        "BABYSEA_OPENAI_BASE_URL": f"{config.sandbox_url}/openai/v1",
        "BABYSEA_OPENAI_WEBHOOK_SECRET": SANDBOX_OPENAI_WEBHOOK_SECRET,
        "BABYSEA_STRIPE_KEY": SANDBOX_STRIPE_KEY,
        "BABYSEA_STRIPE_WEBHOOK_SECRETS": SANDBOX_STRIPE_WEBHOOK_SECRET,
        "BABYSEA_STRIPE_BASE_URL": f"{config.sandbox_url}/stripe",
        # the simulated providers' outputs, and our own: an output may be the input of the next generation
        "BABYSEA_PRIVATE_HOSTS": f"{HOST}:{config.ports.sandbox},{HOST}:{config.ports.api}",
        "BABYSEA_WEBHOOK_PRIVATE_ADDRESSES": "true",
    }


def secret_key(data: Path) -> str:
    """The root secret of this data folder, made on first use and readable by its owner alone."""
    path = data / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(made := secrets.token_urlsafe(48))
    return made
