import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EgressMode, EgressPolicySchema } from "@nullspace/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { checkEgress } from "./egress-policy.js";

function check(init: MessageInitShape<typeof EgressPolicySchema>) {
  return checkEgress(create(EgressPolicySchema, init));
}

test("names are written in one way, each entry once", () => {
  const { allowDomains, allowCidrs } = check({
    mode: EgressMode.CUSTOM,
    allowDomains: ["Example.com.", "example.com", "*.Example.org", "_dmarc.example.com"],
    allowCidrs: ["203.0.113.0/24", "203.0.113.0/24"],
  });
  expect(allowDomains).toEqual(["example.com", "*.example.org", "_dmarc.example.com"]);
  expect(allowCidrs).toEqual(["203.0.113.0/24"]);
});

test.each<MessageInitShape<typeof EgressPolicySchema>>([
  {},
  { mode: EgressMode.ALLOW_ALL, denyCidrs: ["203.0.113.0/24"] },
  { mode: EgressMode.DENY_ALL, rateLimit: { kbitPerSecond: 100 } },
  { mode: EgressMode.CUSTOM, rateLimit: {} },
  { mode: EgressMode.CUSTOM, allowDomains: ["*"] },
  { mode: EgressMode.CUSTOM, allowDomains: ["*.*.com"] },
  { mode: EgressMode.CUSTOM, allowDomains: ["203.0.113.7"] },
  { mode: EgressMode.CUSTOM, allowDomains: ["a..b"] },
  { mode: EgressMode.CUSTOM, allowDomains: [`${"a".repeat(64)}.com`] },
  { mode: EgressMode.CUSTOM, allowDomains: Array.from({ length: 65 }, (_, i) => `a${i}.com`) },
  {
    mode: EgressMode.CUSTOM,
    allowCidrs: Array.from({ length: 257 }, (_, i) => `1.1.${i % 256}.1`),
  },
])("%j is refused", (policy) => {
  expect(() => check(policy)).toThrow(expect.objectContaining({ name: "Fault" }));
});

test("whatever is accepted as a name is letters, digits, hyphens, underscores and dots", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.domain()), (domain) => {
      let accepted: string[];
      try {
        accepted = check({ mode: EgressMode.CUSTOM, allowDomains: [domain] }).allowDomains;
      } catch {
        return;
      }
      expect(accepted.join()).toMatch(/^(\*\.)?[a-z0-9_.-]+$/);
    }),
  );
});
