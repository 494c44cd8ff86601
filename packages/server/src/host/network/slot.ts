import type { EgressPolicy } from "@nullspace/proto";
import { GUEST, type SlotNames } from "./addresses.js";
import { namespaceRules, pinRules, policyRules } from "./rules.js";
import { nft, runScript, withInput } from "./run.js";

/** How much may wait behind a rate limit, in milliseconds. */
const QUEUE_MS = 200;
/** A burst is what a tick of a slow clock lets through, and never less than some whole packets. */
const BURST_MS = 20;
const LEAST_BURST_BYTES = 16_384;

/** Another server on this computer has a network of the same number. */
export class SlotTakenError extends Error {
  override readonly name = "SlotTakenError";

  constructor(link: string) {
    super(`the address of ${link} is another link's as well`);
  }
}

/** A network namespace with the tap of one machine, and the policy that holds in it. */
export class NetworkSlot {
  readonly names: SlotNames;
  /** What holds; undefined when nothing passes. */
  policy: EgressPolicy | undefined;
  /** The last that was applied whole: what its rules have left. */
  #former: EgressPolicy | undefined;

  /** @param policy - of one that is there already. */
  constructor(names: SlotNames, policy?: EgressPolicy) {
    this.names = names;
    this.policy = policy;
    this.#former = policy;
  }

  /**
   * Makes the namespace with a policy in it, by few processes: what the host spends here it takes from
   * machines that are starting.
   *
   * @throws SlotTakenError when another server on this computer has the number, or ScriptError.
   */
  async create(policy: EgressPolicy): Promise<void> {
    const { namespace, link, hostAddress, machineAddress } = this.names;
    const owners = await runScript(
      `ip netns add ${namespace}
${ipBatch(
  `link add ${link} type veth peer name uplink netns ${namespace}`,
  `address add ${hostAddress}/30 dev ${link}`,
)}
echo 1 >/proc/sys/net/ipv6/conf/${link}/disable_ipv6
echo 1 >/proc/sys/net/ipv4/conf/${link}/rp_filter
ip link set ${link} up
ip -oneline -4 address show to ${hostAddress}/32
`,
    );
    // Two servers that make the same network at once see each other here, and both make another.
    if (owners.trim().split("\n").length > 1) throw new SlotTakenError(link);
    await runScript(
      `echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
${nft(namespaceRules(this.names) + policyRules(policy, undefined))}
# Middles of connections that this namespace has not seen begin, as a fork has them, are refused.
echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose
echo 1 >/proc/sys/net/ipv4/ip_forward
${ipBatch(
  "tuntap add dev tap mode tap",
  `link set tap address ${GUEST.gatewayMac}`,
  `address add ${GUEST.gateway}/30 dev tap`,
  "link set tap up",
  `neighbour replace ${GUEST.address} lladdr ${GUEST.mac} dev tap nud permanent`,
  `address add ${machineAddress}/30 dev uplink`,
  "link set uplink up",
  `route add default via ${hostAddress}`,
)}`,
      namespace,
    );
    this.policy = policy;
    this.#former = policy;
  }

  /**
   * Puts a policy in the place of the former one: the rules all at once, the rate limit before.
   *
   * @throws ScriptError: then the former rules hold, or whatever {@link close} has left.
   */
  async apply(policy: EgressPolicy): Promise<void> {
    const kbit = policy.rateLimit?.kbitPerSecond;
    const limited = kbit !== undefined || this.#former?.rateLimit !== undefined;
    await runScript(
      (limited ? withInput("tc -batch -", shaping(kbit)) : "") +
        nft(policyRules(policy, this.#former)),
      this.names.namespace,
    );
    this.policy = policy;
    this.#former = policy;
  }

  /** Lets nothing pass any more. @throws ScriptError */
  async close(): Promise<void> {
    this.policy = undefined;
    await runScript(nft("flush chain inet machine allowed"), this.names.namespace);
  }

  /**
   * Lets connections to these addresses begin, for the sake of a name, for some seconds.
   *
   * @throws ScriptError when there are too many, or the policy no longer has the name.
   */
  async pin(domain: string, addresses: readonly string[], seconds: number): Promise<void> {
    await runScript(nft(pinRules(domain, addresses, seconds)), this.names.namespace);
  }

  /** Removes the namespace and all in it. One that is gone already is fine. */
  async destroy(): Promise<void> {
    const { namespace, link } = this.names;
    // The link first: it goes at once, the namespace when the kernel gets round to it.
    await runScript(
      `[ ! -e /sys/class/net/${link} ] || ip link delete ${link} || [ ! -e /sys/class/net/${link} ]
[ ! -e /run/netns/${namespace} ] || ip netns delete ${namespace}
`,
    );
  }
}

/** A command of the shell that has one process do several things of `ip`, up to the first that fails. */
function ipBatch(...commands: string[]): string {
  return withInput("ip -batch -", commands.join("\n"));
}

/** Commands of tc: the same limit both ways, or the queues that a device has without one. */
function shaping(kbit: number | undefined): string {
  const queue =
    kbit === undefined
      ? "pfifo limit 1000"
      : `tbf rate ${kbit}kbit burst ${Math.max(LEAST_BURST_BYTES, Math.ceil((kbit / 8) * BURST_MS))} latency ${QUEUE_MS}ms`;
  return ["uplink", "tap"].map((device) => `qdisc replace dev ${device} root ${queue}`).join("\n");
}
