"""Servers on many ports, and who asks them: for port rules and node addresses.

  ports.py serve NAME ADDRESS,ADDRESS PORT...   TCP on every address, UDP on the given ones
  ports.py talk                                 does what its input says, one line each:

    ask ADDRESS PORT COUNT [FROM [FROM_PORT]]   COUNT connections, one after the other
    datagram ADDRESS PORT SIZE                  one datagram; everybody's answers
    hold NAME ADDRESS PORT                      opens a connection and keeps it
    echo NAME                                   says something on it; the answer

A server greets with its name and the client's address, then echoes lines. Answers are JSON, one line
for each of the input.
"""
import json
import socket
import sys
import threading

PATIENCE = 1.5


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def converse(name, connection, peer):
    with connection:
        try:
            connection.sendall(f"{name} {peer[0].removeprefix('::ffff:')}\n".encode())
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            pass


def accept(name, port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=converse, args=(name, connection, peer), daemon=True).start()


def echo(name, address, port):
    udp = socket.socket(family_of(address), socket.SOCK_DGRAM)
    udp.bind((address, port))
    while True:
        data, peer = udp.recvfrom(65535)
        udp.sendto(f"{name} {len(data)}".encode(), peer)


def serve(name, addresses, *ports):
    for port in map(int, ports):
        threading.Thread(target=accept, args=(name, port), daemon=True).start()
        for address in filter(None, addresses.split(",")):
            threading.Thread(target=echo, args=(name, address, port), daemon=True).start()
    threading.Timer(0.3, lambda: print("listening", flush=True)).start()
    threading.Event().wait()


def greeted(address, port, source):
    try:
        with socket.create_connection((address, port), PATIENCE, source) as connection:
            name, peer = connection.makefile().readline().split()
            own = connection.getsockname()[0]
            return {"node": name, "seen": peer, "own": own}
    except TimeoutError:
        return {"failed": "silent"}
    except OSError as error:
        return {"failed": error.strerror}


def ask(address, port, count, source=None, source_port=0):
    bound = (source, int(source_port)) if source else None
    return [greeted(address, int(port), bound) for _ in range(int(count))]


def datagram(address, port, size):
    udp = socket.socket(family_of(address), socket.SOCK_DGRAM)
    udp.settimeout(0.7)
    udp.sendto(bytes(int(size)), (address, int(port)))
    answers = []
    try:
        while True:
            answers.append(udp.recv(4096).decode())
    except TimeoutError:
        return sorted(answers)


held = {}


def hold(name, address, port):
    connection = socket.create_connection((address, int(port)), PATIENCE)
    connection.settimeout(5)
    held[name] = (connection, connection.makefile())
    return held[name][1].readline().split()[0]


def echo_on(name):
    connection, lines = held[name]
    connection.sendall(b"still there?\n")
    return lines.readline().strip()


def talk():
    commands = {"ask": ask, "datagram": datagram, "hold": hold, "echo": echo_on}
    for line in sys.stdin:
        command, *words = line.split()
        try:
            said = commands[command](*words)
        except OSError as error:
            said = {"failed": str(error)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    {"serve": serve, "talk": talk}[sys.argv[1]](*sys.argv[2:])
