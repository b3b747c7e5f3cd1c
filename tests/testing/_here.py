"""Where the source is, and how it is asked for."""

import requests

HERE = {"ra": 150.0, "dec": 2.0}


def get(url, *parameters, **more):
    return requests.get(url, {**dict(*parameters), **more}, timeout=30)
