"""A Superset for one test run: its own database is a file of that run, and nothing asks for a CSRF token."""

import os

from superset.config import *  # noqa: F403: what Superset documents for its configuration

SECRET_KEY = "only for a test that lasts a minute"
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['SUPERSET_HOME']}/superset.db"
DATA_DIR = os.environ["SUPERSET_HOME"]
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
SUPERSET_WEBSERVER_TIMEOUT = 60
