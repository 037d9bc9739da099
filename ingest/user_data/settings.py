"""Settings of the user data process: `TAPEHOUSE_USER_DATA__PORT`, ..."""

from __future__ import annotations

from ingest.settings import SecretSettings, UserDataOptions
from service_runtime.settings import ServiceSettings


class UserDataSettings(ServiceSettings):
    secrets: SecretSettings = SecretSettings()
    user_data: UserDataOptions = UserDataOptions()
