import { randomBytes } from "node:crypto";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";
import { expect, test } from "vitest";
import { startTestAgent } from "../testing/agent.js";

test("a guest is prepared for its capture, and again", async () => {
  await using agent = await startTestAgent();
  await using host = await agent.dial();
  const identity = { machineId: "m1", hostname: "m1", channelKey: BOOT_CHANNEL_KEY };
  const moment = { time: timestampNow(), entropy: randomBytes(32) };
  await host.system.adopt({ ...identity, ...moment, cwd: agent.folder });
  for (let count = 0; count < 2; count++) {
    await expect(host.system.prepareCapture({})).resolves.toBeDefined();
  }
});
