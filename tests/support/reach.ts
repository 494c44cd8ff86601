import type { Machine } from "@nullspace/sdk";

/** Something that a guest tries to reach. */
export interface Target {
  /** A frame is a datagram that the guest makes itself, headers and all, and sends past its own rules. */
  kind: "tcp" | "udp" | "ping" | "name" | "frame";
  host: string;
  port?: number;
  /** Of a datagram. */
  text?: string;
  bytes?: number;
  /** Address to send from, which the guest gives itself. */
  source?: string;
  /** Of a frame: the hardware address to send from. */
  mac?: string;
}

/** Tries targets as root of the guest, who has given itself IPv6. Prints one line each. */
const PROGRAM = `
import errno, json, os, socket, struct, subprocess, sys, threading
targets = json.loads(sys.argv[1])
results = [None] * len(targets)
def sh(line): subprocess.run(line, shell=True, stderr=subprocess.DEVNULL)
if any(":" in t["host"] for t in targets):
    sh("echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip -6 address add fd77::99/64 dev eth0 nodad; ip -6 route add default via fe80::5054:ff:fe6e:7300 dev eth0")
own = {t["source"] for t in targets if "source" in t and t["kind"] != "frame"}
for source in own: sh(f"ip address add {source}/32 dev eth0")
def send_frame(t):
    source, text = socket.inet_aton(t.get("source", "198.19.255.2")), (t["text"] + " ").encode()
    datagram = struct.pack("!HHHH", 40000, t["port"], 8 + len(text), 0) + text
    def header(sum): return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 7, 0, 64, 17, sum, source, socket.inet_aton(t["host"]))
    sum = sum_of(struct.unpack("!10H", header(0)))
    mac = bytes.fromhex(t.get("mac", "52:54:00:6e:73:01").replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("eth0", 0))
        s.send(bytes.fromhex("5254006e7300") + mac + b"\\x08\\x00" + header(sum) + datagram)
    return "sent"
def sum_of(words):
    total = sum(words)
    while total > 0xffff: total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff
def attempt(t):
    if t["kind"] == "frame": return send_frame(t)
    family = socket.AF_INET6 if ":" in t["host"] else socket.AF_INET
    try:
        if t["kind"] == "ping":
            flag = "-6" if family == socket.AF_INET6 else "-4"
            size = str(t.get("bytes", 56))
            return "answered" if subprocess.run(["ping", flag, "-c1", "-W4", "-s", size, t["host"]], capture_output=True).returncode == 0 else "silence"
        if t["kind"] == "name": return socket.gethostbyname(t["host"])
        s = socket.socket(family, socket.SOCK_STREAM if t["kind"] == "tcp" else socket.SOCK_DGRAM)
        s.settimeout(4)
        if "source" in t: s.bind((t["source"], 0))
        s.connect((t["host"], t["port"]))
        if t["kind"] == "tcp":
            s.getpeername()
            return "connected"
        s.send((t.get("text", "x") + " ").encode() + b"." * t.get("bytes", 0))
        s.recv(65536)
        return "answered"
    except (TimeoutError, socket.timeout): return "silence"
    except socket.gaierror as e: return "no such name" if e.errno in (socket.EAI_NONAME, -5) else f"gai {e.errno}"
    # A refusal that comes while Python looks whether it is connected counts as a success there; it has no peer.
    except OSError as e: return "silence" if e.errno == errno.ENOTCONN else os.strerror(e.errno or 0)
def work(i, t): results[i] = attempt(t)
threads = [threading.Thread(target=work, args=(i, t)) for i, t in enumerate(targets)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if any(":" in t["host"] for t in targets): sh("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
for source in own: sh(f"ip address del {source}/32 dev eth0")
print(json.dumps(results))
`;

/** What came of each target: "connected", "answered", an address, or why not. */
export async function reach(machine: Machine, targets: readonly Target[]): Promise<string[]> {
  const { stdout } = (
    await machine.commands.run("python3", {
      args: ["-c", PROGRAM, JSON.stringify(targets)],
      user: "root",
      timeoutMs: 120_000,
    })
  ).orThrow();
  return JSON.parse(stdout) as string[];
}

/** Outcomes that show that something came back from the target itself. */
export const REACHED = ["connected", "answered", "Connection refused", "Connection reset by peer"];
