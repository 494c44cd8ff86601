import { lookup } from "node:dns/promises";
import { isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import type { EgressPolicy } from "@nullspace/sdk";

/** Something that a machine tries to reach and must not. */
export interface Probe {
  /** What it is, for people. */
  readonly what: string;
  readonly kind: "tcp" | "udp" | "ping" | "name";
  readonly host: string;
  readonly port?: number;
  /** Size of what is sent; more than fits into one packet goes in fragments. */
  readonly bytes?: number;
}

/** The gateway of every machine. */
const GATEWAY = "198.19.255.1";
/** Too large for one packet. */
const FRAGMENTED = 4000;

/**
 * What no machine may reach whatever its policy, unless it names it: the host, as far as this
 * computer knows its addresses, private networks, metadata services, and all of IPv6.
 *
 * @param url - of the server.
 */
export async function forbiddenProbes(url: string): Promise<Probe[]> {
  const { hostname, port, protocol } = new URL(url);
  const apiPort = Number(port) || (protocol === "https:" ? 443 : 80);
  const hosts = [...new Set([GATEWAY, ...(await hostAddresses(hostname))])];
  const neighbours = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1"];
  const metadata = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254"];
  return [
    ...hosts.flatMap((host) => [
      ...[22, 80, apiPort].map((one): Probe => ({
        what: "the host",
        kind: "tcp",
        host,
        port: one,
      })),
      { what: "the host", kind: "ping", host } as const,
      { what: "the host, in fragments", kind: "ping", host, bytes: FRAGMENTED } as const,
    ]),
    ...neighbours.flatMap((host): Probe[] => [
      { what: "a private network", kind: "tcp", host, port: 80 },
      { what: "a private network", kind: "udp", host, port: 53 },
      { what: "a private network", kind: "ping", host },
    ]),
    ...metadata.map((host): Probe => ({ what: "cloud metadata", kind: "tcp", host, port: 80 })),
    { what: "another machine", kind: "tcp", host: "198.18.0.2", port: 22 },
    { what: "the gateway by IPv6", kind: "ping", host: "fe80::5054:ff:fe6e:7300%eth0" },
    ...publicTargets("2606:4700:4700::1111", "IPv6"),
  ];
}

/** What a machine must not reach either when its policy allows nothing. */
export function outsideProbes(): Probe[] {
  return [
    ...publicTargets("1.1.1.1", "the Internet"),
    { what: "names", kind: "name", host: "example.com" },
  ];
}

/** Whether a policy allows nothing, so that {@link outsideProbes} hold for it. */
export function allowsNothing(policy: EgressPolicy): boolean {
  if (policy === "denyAll") return true;
  if (policy === "allowAll") return false;
  return (policy.allowCidrs ?? []).length + (policy.allowDomains ?? []).length === 0;
}

function publicTargets(host: string, what: string): Probe[] {
  return [
    { what: `${what}: HTTPS`, kind: "tcp", host, port: 443 },
    { what: `${what}: QUIC`, kind: "udp", host, port: 443 },
    { what: `${what}: DNS`, kind: "udp", host, port: 53 },
    { what: `${what}: DNS over TCP`, kind: "tcp", host, port: 53 },
    { what: `${what}: DNS over TLS`, kind: "tcp", host, port: 853 },
    { what: `${what}: ping`, kind: "ping", host },
  ];
}

/** Addresses of the server's computer: all of this one's, if it is this one. */
async function hostAddresses(hostname: string): Promise<string[]> {
  const name = hostname.replace(/^\[(.*)\]$/, "$1");
  const found = (await lookup(name, { all: true }).catch(() => [])).map(({ address }) => address);
  if (found.some((address) => !isLoopback(address))) return found;
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address, scopeid = 0 }) => (scopeid === 0 ? address : `${address}%eth0`));
}

function isLoopback(address: string): boolean {
  return (isIPv4(address) && address.startsWith("127.")) || (isIPv6(address) && address === "::1");
}
