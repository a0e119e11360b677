# Transfers over FTP; prints what became of them as JSON.
# ftp_client.py ADDRESS passive|active SESSIONS TRANSFERS TIMEOUT
import ftplib
import io
import json
import sys

address, mode = sys.argv[1:3]
sessions, transfers = int(sys.argv[3]), int(sys.argv[4])
timeout = float(sys.argv[5])
data = bytes(range(256)) * 800
done, elsewhere, nodes, failures = 0, 0, {}, []
for _ in range(sessions):
    try:
        ftp = ftplib.FTP(timeout=timeout)
        node = ftp.connect(address, 21).split(" ", 1)[1].strip()
        ftp.login()
        ftp.set_pasv(mode == "passive")
    except OSError as error:
        failures.append(f"control: {error!r}")
        continue
    for n in range(transfers):
        try:
            got = io.BytesIO()
            ftp.retrbinary("RETR name" if n % 4 else "RETR data", got.write)
            if n % 4 and got.getvalue().decode() != node:
                elsewhere += 1
            elif not n % 4 and got.getvalue() != data:
                failures.append("other bytes came")
                continue
            done += 1
            nodes[node] = nodes.get(node, 0) + 1
        except (OSError, EOFError, ftplib.Error) as error:
            failures.append(f"{node}: {error!r}")
            break
    try:
        ftp.quit()
    except (OSError, EOFError, ftplib.Error):
        ftp.close()
print(json.dumps({"done": done, "elsewhere": elsewhere, "nodes": nodes, "failures": failures}))
