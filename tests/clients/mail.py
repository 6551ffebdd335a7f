"""A mail server of aiosmtpd that keeps what it takes: mail.py KEPT PORT none|tls|starttls [CERTIFICATE KEY]

It takes mail of the user `station` with the password `mail-secret`, and of anybody where nothing is encrypted. The first message to
an address with `busy` in it is refused for now, and all to one with `nobody` in it for good.
"""
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

kept, port, encryption = sys.argv[1], int(sys.argv[2]), sys.argv[3]
refused = set()


class Keep:
    async def handle_DATA(self, server, session, envelope):
        busy = [to for to in envelope.rcpt_tos if "busy" in to and to not in refused]
        refused.update(busy)
        if busy:
            return "451 try again"
        if any("nobody" in to for to in envelope.rcpt_tos):
            return "550 there is no such person"
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "content": envelope.content.decode(),
        }
        with open(kept, "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"station", b"mail-secret")
    return AuthResult(success=is_right, auth_data=data if is_right else None)


options = {"authenticator": authenticate}
if encryption != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    options["auth_required"] = True
    if encryption == "tls":
        options.update(ssl_context=context, auth_require_tls=False)
    else:
        options.update(tls_context=context, require_starttls=True)
controller = Controller(Keep(), hostname="127.0.0.1", port=port, **options)
controller.start()
print("ready", flush=True)
while True:
    time.sleep(60)
