import { create } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema } from "@nullspace/proto";
import { describe, expect, test } from "vitest";
import { cidr } from "../../domain/ipv4.js";
import { NetworkNames } from "./addresses.js";
import {
  hostRules,
  isNeverPinned,
  markOf,
  namespaceRules,
  openedBy,
  openedRules,
  pinRules,
  policyRules,
} from "./rules.js";

type Lists = Partial<Pick<EgressPolicy, "allowCidrs" | "denyCidrs" | "allowDomains">>;

function custom(init: Lists) {
  return create(EgressPolicySchema, { ...init, mode: EgressMode.CUSTOM });
}

/** The rules of a policy in their order. */
function rulesOf(policy: ReturnType<typeof custom>, former?: ReturnType<typeof custom>): string[] {
  return policyRules(policy, former)
    .split("\n")
    .filter((line) => line.startsWith("add rule"))
    .map((line) => line.replace("add rule inet machine allowed ", ""));
}

describe("the rules of a policy", () => {
  test("take the place of the former ones in one transaction", () => {
    expect(policyRules(custom({}), undefined)).toMatch(/^flush chain inet machine allowed\n/);
  });

  test.each([EgressMode.DENY_ALL, EgressMode.UNSPECIFIED])(
    "of mode %s let nothing pass",
    (mode) => {
      expect(rulesOf(create(EgressPolicySchema, { mode }))).toEqual(["goto refuse"]);
    },
  );

  test("let everything pass but what is never, or private", () => {
    const rules = rulesOf(create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL }));
    expect(rules.at(-1)).toBe("accept");
    const refused = rules.filter((rule) => rule.endsWith("goto refuse")).join();
    for (const range of [
      "10.0.0.0/8",
      "169.254.0.0/16",
      "127.0.0.0/8",
      "198.18.0.0/15",
      "224.0.0.0/3",
    ]) {
      expect(refused).toContain(range);
    }
  });

  test("end in a refusal, and refuse what is denied before anything is allowed", () => {
    const rules = rulesOf(
      custom({
        allowCidrs: ["203.0.113.0/24", "10.1.0.0/16", "10.1.2.0/24"],
        denyCidrs: ["203.0.113.9"],
        allowDomains: ["example.com"],
      }),
    );
    expect(rules.at(-1)).toBe("goto refuse");
    const at = (part: string) => rules.findIndex((rule) => rule.includes(part));
    expect(at("203.0.113.9/32 } goto refuse")).toBeLessThan(at("10.1.0.0/16 } accept"));
    expect(at("10.1.0.0/16 } accept")).toBeLessThan(at("10.0.0.0/8"));
    expect(at("10.0.0.0/8")).toBeLessThan(at("203.0.113.0/24 } accept"));
    // One range in another is one conflict too many for nftables.
    expect(at("10.1.2.0/24")).toBe(-1);
  });

  test("drop the sets of names that are gone, and keep those of names that stay", () => {
    const former = custom({ allowDomains: ["a.com", "b.com"] });
    const rules = policyRules(custom({ allowDomains: ["b.com"] }), former);
    expect(rules).toContain(`delete set inet machine name-${markOf("a.com").toString(16)}`);
    expect(rules).not.toContain(`delete set inet machine name-${markOf("b.com").toString(16)}`);
  });

  test("open private ranges by private ranges only", () => {
    const policy = custom({
      allowCidrs: ["0.0.0.0/0", "8.0.0.0/5", "10.0.0.0/8", "169.254.169.254"],
    });
    expect(openedBy(policy)).toEqual([cidr("10.0.0.0/8"), cidr("169.254.169.254/32")]);
    expect(openedBy(create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL }))).toEqual([]);
  });
});

test("a name leads to no address that is private or nobody's", () => {
  for (const address of [
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "239.1.1.1",
    "0.0.0.0",
  ]) {
    expect(isNeverPinned(cidr(address))).toBe(true);
  }
  expect(isNeverPinned(cidr("203.0.113.7"))).toBe(false);
});

test("marks of names are never 0 and fit into 32 bits", () => {
  for (const name of ["a", "b", "example.com"]) {
    expect(markOf(name)).toBeGreaterThan(0);
    expect(markOf(name)).toBeLessThanOrEqual(0x8000_0000);
  }
});

describe("names of networks", () => {
  const names = new NetworkNames("/var/lib/nullspace");

  test("fit into the kernel's fields, and lead back to their number", () => {
    for (const slot of [0, 1, 255, 16_383]) {
      const { namespace, link } = names.of(slot);
      expect(link.length).toBeLessThanOrEqual(15);
      expect(names.slotOfNamespace(namespace)).toBe(slot);
      expect(names.slotOfLink(link)).toBe(slot);
    }
    expect(names.of(16_383).machineAddress).toBe("198.18.255.254");
  });

  test("of another home are nobody's here", () => {
    const { namespace, link } = new NetworkNames("/elsewhere").of(7);
    expect(names.slotOfNamespace(namespace)).toBeUndefined();
    expect(names.slotOfLink(link)).toBeUndefined();
  });
});

test.runIf(process.getuid?.() === 0)("nftables takes all of these rules", async () => {
  const { nft, runScript } = await import("./run.js");
  const names = new NetworkNames("/rules-test");
  const slot = names.of(3);
  const first = custom({
    allowDomains: ["a.com", "*.b.com"],
    allowCidrs: ["10.0.0.0/8", "1.2.3.4"],
  });
  const second = custom({ allowDomains: ["a.com"], denyCidrs: ["0.0.0.0/0"] });
  const opened = openedBy(first);
  // In a namespace of its own, gone with the shell.
  const taken = runScript(
    [
      "unshare --net sh -se <<'OUTER'",
      nft(hostRules(names, new Map([[slot.link, opened]]))),
      nft(openedRules(names, slot.link, opened, [])),
      nft(openedRules(names, slot.link, opened, opened)),
      nft(hostRules(names, new Map())),
      nft(namespaceRules(slot)),
      nft(policyRules(first, undefined)),
      nft(pinRules("a.com", ["203.0.113.7", "203.0.113.8"], 30)),
      nft(pinRules("a.com", ["203.0.113.7"], 60)),
      nft(policyRules(second, first)),
      nft(policyRules(second, second)),
      "OUTER",
    ].join("\n"),
  );
  await expect(taken).resolves.toBe("");
});
