import shutil
import ssl
import subprocess

import pytest


@pytest.fixture
def own_world(monkeypatch, tmp_path):
    """No proxy; politeness is not that of other tests."""
    monkeypatch.setenv("GALESTIM_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate for localhost, signed by itself, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out certificate"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context, folder / "certificate"
