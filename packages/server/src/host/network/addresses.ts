import { createHash } from "node:crypto";
import { type Cidr, cidr, formatAddress } from "../../domain/ipv4.js";

/**
 * Where hosts and machines meet. RFC 2544 sets this range aside for measurements of network
 * gear: the Internet does not carry it, and private networks do not use it.
 */
export const NETWORK_RANGE = "198.18.0.0/15";

/**
 * The guest's end, the same in every machine: a restored guest needs no new configuration. The
 * image sets it up when it boots; see `tooling/image/guest/supervise`.
 */
export const GUEST = {
  address: "198.19.255.2",
  gateway: "198.19.255.1",
  mac: "52:54:00:6e:73:01",
  gatewayMac: "52:54:00:6e:73:00",
} as const;

/** Where the server answers a machine's questions for names, at the host's end of its network. */
export const DNS_PORT = 15353;

/** How many networks there can be on one computer, of all servers on it: each has a /30. */
export const SLOTS = 16_384;

const FIRST_SLOT = cidr("198.18.0.0/16");

/** Names of all links between a host and its machines, of every server on this computer. */
const LINK_PREFIX = "nsv";

/** All such links, as nftables matches names. */
export const ALL_LINKS = `${LINK_PREFIX}*`;

/** Names and addresses of one network: they follow from its number and the server's home. */
export interface SlotNames {
  readonly slot: number;
  readonly namespace: string;
  /** The host's end of the link; the other end is "uplink" in the namespace. */
  readonly link: string;
  readonly hostAddress: string;
  readonly machineAddress: string;
}

/** The names that one server gives: others on the same computer give others. */
export class NetworkNames {
  readonly #id: string;

  /** @param home - the server's home. */
  constructor(home: string) {
    this.#id = createHash("sha256").update(home).digest("hex").slice(0, 6);
  }

  /** The table of rules on the host. */
  get table(): string {
    return `nullspace_${this.#id}`;
  }

  /** All links of this server, as nftables matches names. */
  get links(): string {
    return `${LINK_PREFIX}${this.#id}*`;
  }

  of(slot: number): SlotNames {
    const number = slot.toString(16).padStart(4, "0");
    const base = FIRST_SLOT.base + slot * 4;
    return {
      slot,
      namespace: `nullspace-${this.#id}-${number}`,
      // At most 15 characters.
      link: `${LINK_PREFIX}${this.#id}${number}`,
      hostAddress: formatAddress(base + 1),
      machineAddress: formatAddress(base + 2),
    };
  }

  /** Whose namespace this is, if it is one of this server's. */
  slotOfNamespace(namespace: string): number | undefined {
    return numberAfter(namespace, `nullspace-${this.#id}-`);
  }

  /** Whose link this is, if it is one of this server's. */
  slotOfLink(link: string): number | undefined {
    return numberAfter(link, `${LINK_PREFIX}${this.#id}`);
  }
}

function numberAfter(name: string, prefix: string): number | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const number = name.slice(prefix.length);
  return /^[0-9a-f]{4}$/.test(number) ? Number.parseInt(number, 16) : undefined;
}

/** Out of reach, whatever a policy says: nobody, ourselves, everybody. */
export const NEVER: readonly Cidr[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  NETWORK_RANGE,
  "224.0.0.0/3",
].map(cidr);

/** Out of reach unless a policy names them: private, shared and link-local networks. */
export const PRIVATE: readonly Cidr[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
].map(cidr);
