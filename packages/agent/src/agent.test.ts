import { timestampNow } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { startTestAgent } from "./testing/agent.js";
import { collect } from "./testing/output.js";

test("answers a ping", async () => {
  await using agent = await startTestAgent();
  await using host = await agent.dial();
  const { kernel, time } = await host.system.ping({});
  expect(kernel).not.toBe("");
  expect(Math.abs(Number(time?.seconds) - Date.now() / 1000)).toBeLessThan(5);
  expect(agent.defects).toEqual([]);
});

test("after an adoption only the new key opens a session, and commands see the machine's environment", async () => {
  await using agent = await startTestAgent();
  const key = Buffer.alloc(32, 7);
  {
    await using host = await agent.dial();
    const adopted = await host.system.adopt({
      machineId: "m_1",
      hostname: "m1",
      time: timestampNow(),
      entropy: Buffer.alloc(48, 1),
      channelKey: key,
      envs: { GREETING: "hello" },
      cwd: agent.folder,
      generation: 3n,
    });
    expect(adopted).toMatchObject({ entropyReseeded: true, identityRenewed: true });
  }
  await using host = await agent.dial(key);
  const result = await collect(
    host.process.start({ command: 'echo "$GREETING from $PWD"; exit 3' }),
  );
  expect(result).toMatchObject({ stdout: `hello from ${agent.folder}\n`, exit: { exitCode: 3 } });
  expect(agent.defects).toEqual([]);
});
