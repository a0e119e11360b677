# An FTP server on all addresses that says on which node it is: in its greeting, and in the file
# `name`. ftp_server.py NAME FOLDER
import contextlib
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, PassiveDTP
from pyftpdlib.servers import ThreadedFTPServer

name, folder = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "name"), "w") as file:
    file.write(name)
with open(os.path.join(folder, "data"), "wb") as file:
    file.write(bytes(range(256)) * 800)


class Passive(PassiveDTP):
    # It closes a descriptor and then unregisters it, which may be that of another session's file by
    # then: that thread's affair, but the error would end this session.
    def del_channel(self, map=None):
        with contextlib.suppress(PermissionError):
            super().del_channel(map)


authorizer = DummyAuthorizer()
authorizer.add_anonymous(folder, perm="elrw")
FTPHandler.authorizer = authorizer
FTPHandler.banner = name
FTPHandler.passive_dtp = Passive
server = ThreadedFTPServer(("::", 21), FTPHandler)
print("listening", flush=True)
server.serve_forever(timeout=0.5)
