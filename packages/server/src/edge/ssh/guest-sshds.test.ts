import { once } from "node:events";
import { connect, createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorReason } from "@nullspace/proto";
import { expect, test } from "vitest";
import { GuestSshds } from "./guest-sshds.js";

test("an agent of a version that knows no SSH is told from one that is damaged", async () => {
  const agent = createServer(connectNodeAdapter({ routes: () => undefined })).listen(
    0,
    "127.0.0.1",
  );
  await once(agent, "listening");
  const address = agent.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const session = connect(`http://127.0.0.1:${address.port}`);
  try {
    const sshds = new GuestSshds(() => Promise.resolve(session));
    const admission = { authority: "ssh-ed25519 AAAA", principal: "m1" };
    await expect(sshds.prepare("m1", admission, AbortSignal.timeout(10_000))).rejects.toMatchObject(
      { reason: ErrorReason.SSH_UNAVAILABLE },
    );
  } finally {
    session.destroy();
    agent.close();
  }
});
