import { randomBytes } from "node:crypto";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { startTestAgent } from "../testing/agent.js";

test("a guest is prepared for its capture, and again", async () => {
  await using agent = await startTestAgent();
  await using host = await agent.dial();
  const identity = { machineId: "m1", hostname: "m1", channelKey: randomBytes(32) };
  const moment = { time: timestampNow(), entropy: randomBytes(32) };
  await host.system.adopt({ ...identity, ...moment, cwd: agent.folder });
  for (let count = 0; count < 2; count++) {
    await expect(host.system.prepareCapture({})).resolves.toBeDefined();
  }
});
