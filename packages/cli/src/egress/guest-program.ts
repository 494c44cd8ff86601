/** How long a target may take to answer, in milliseconds. */
const ANSWER_MS = 4000;

/**
 * A program for a machine's own Node.js that tries targets and prints which of them answered.
 * Whatever comes back from a target, a refusal too, shows that it was reached; the machine's
 * own gateway says "administratively prohibited" for what it holds back, which is no answer.
 */
export const GUEST_PROGRAM = `
const net = require("node:net"), dgram = require("node:dgram"), dns = require("node:dns");
const { execFile } = require("node:child_process");
const wait = ${ANSWER_MS};
function tcp({ host, port }) {
  return new Promise((done) => {
    const socket = net.connect({ host, port });
    const end = (reached, how) => { socket.destroy(); done({ reached, how }); };
    socket.setTimeout(wait, () => end(false, "no answer"));
    socket.on("connect", () => end(true, "connected"));
    socket.on("error", ({ code }) => end(code === "ECONNREFUSED" || code === "ECONNRESET", code));
  });
}
function udp({ host, port, bytes }) {
  return new Promise((done) => {
    const socket = dgram.createSocket(net.isIPv6(host.split("%")[0]) ? "udp6" : "udp4");
    const end = (reached, how) => { clearTimeout(timer); socket.close(); done({ reached, how }); };
    const timer = setTimeout(end, wait, false, "no answer");
    socket.on("message", () => end(true, "answered"));
    socket.on("error", ({ code }) => end(code === "ECONNREFUSED", code));
    // A question for the address of example.com.
    const question = Buffer.from("123401000001000000000000076578616d706c6503636f6d0000010001", "hex");
    socket.connect(port, host, () => socket.send(bytes ? Buffer.alloc(bytes) : question));
  });
}
function ping({ host, bytes }) {
  return new Promise((done) => {
    const args = ["-c1", "-W" + Math.ceil(wait / 1000), "-s" + (bytes || 56), host];
    execFile("ping", args, (error) => done(error ? { reached: false, how: error.code === "ENOENT" ? "there is no ping" : "no answer" } : { reached: true, how: "answered" }));
  });
}
function name({ host }) {
  return new Promise((done) =>
    new dns.Resolver({ timeout: wait, tries: 1 }).resolve4(host, (error) =>
      done(error ? { reached: false, how: error.code } : { reached: true, how: "resolved" })));
}
const kinds = { tcp, udp, ping, name };
const { targets, ipv6 } = JSON.parse(process.argv[1]);
const fs = require("node:fs");
// As a hostile guest would: it has no IPv6 by itself.
if (ipv6) {
  try {
    fs.writeFileSync("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0");
    const run = (...args) => require("node:child_process").spawnSync("ip", args);
    run("-6", "address", "add", "fd00:6e73::2/64", "dev", "eth0", "nodad");
    run("-6", "route", "add", "default", "via", "fe80::5054:ff:fe6e:7300", "dev", "eth0");
  } catch {}
}
Promise.all(targets.map((target) => kinds[target.kind](target))).then((results) => {
  if (ipv6) try { fs.writeFileSync("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1"); } catch {}
  console.log(JSON.stringify(results));
  process.exit();
});
`;
