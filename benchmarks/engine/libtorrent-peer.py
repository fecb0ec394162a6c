# A libtorrent session as seeder or leecher of one torrent, over plain TCP on loopback, with every limit out of the way.
# Speaks JSON lines like the other peers. Arguments: a JSON object.
import json
import resource
import sys
import time

import libtorrent as lt

# Piece hashes of BitTorrent v1 alone: the flag has no name in these bindings.
V1_ONLY = 64

options = json.loads(sys.argv[1])


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpuSec": used.ru_utime + used.ru_stime, "peakRssMiB": used.ru_maxrss / 1024}


if options["role"] == "maker":
    files = lt.file_storage()
    lt.add_files(files, options["file"])
    maker = lt.create_torrent(files, options["pieceLength"], V1_ONLY)
    lt.set_piece_hashes(maker, options["dir"])
    with open(options["torrent"], "wb") as out:
        out.write(lt.bencode(maker.generate()))
    say("made")
    sys.exit(0)

session = lt.session(
    {
        "listen_interfaces": f"{options['ip']}:{options['port']}",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        "allow_multiple_connections_per_ip": True,
        "unchoke_slots_limit": -1,
        "connections_limit": 1000,
        "rate_limit_ip_overhead": False,
        "mixed_mode_algorithm": 0,
        "send_buffer_watermark": 4 * 1024 * 1024,
        "alert_mask": 0,
    }
)
torrent = lt.add_torrent_params()
torrent.ti = lt.torrent_info(options["torrent"])
torrent.save_path = options["dir"]
torrent.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
handle = session.add_torrent(torrent)


def wait_for(condition):
    while not condition(handle.status()):
        time.sleep(0.005)


if options["role"] == "seeder":
    # Checks the file first, which is not part of what is measured.
    wait_for(lambda status: status.is_seeding)
    say("ready", **usage())
    for line in sys.stdin:
        say("usage", **usage())
    sys.exit(0)

for port in options["peers"]:
    handle.connect_peer(("127.0.0.1", port))
wait_for(lambda status: status.is_seeding)
say("done", **usage())
for line in sys.stdin:
    say("usage", **usage())
