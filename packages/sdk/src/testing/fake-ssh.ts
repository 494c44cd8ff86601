import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ErrorReason,
  type SshAccess,
  SshAccessSchema,
  type SshService,
  type SshServiceCreateAccessRequest,
  type SshServiceListAccessRequest,
  type SshServiceRevokeAccessRequest,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** SshService over a list in memory. Its certificates open nothing. */
export class FakeSsh implements ServiceImpl<typeof SshService> {
  readonly all: SshAccess[] = [];

  createAccess = ({ machineId, publicKey, expiresInMinutes }: SshServiceCreateAccessRequest) => {
    if (!publicKey.startsWith("ssh-")) {
      throw new Fault(ErrorReason.INVALID_ARGUMENT, "public_key is no key");
    }
    const id = `a${this.all.length + 1}`;
    const expiresAt = timestampFromMs(Date.now() + (expiresInMinutes || 60) * 60_000);
    const fingerprint = "SHA256:fake";
    const fields = { id, machineId, fingerprint, createdAt: timestampNow(), expiresAt };
    const access = create(SshAccessSchema, fields);
    this.all.push(access);
    return {
      access,
      certificate: "ssh-ed25519-cert-v01@openssh.com AAAA",
      knownHosts: `${machineId} ssh-ed25519 AAAA`,
      relayToken: `nssh_${id}_secret`,
      relayPath: `/v1/ssh/${machineId}`,
      user: "user",
    };
  };

  listAccess = ({ machineId }: SshServiceListAccessRequest) => ({
    access: this.all.filter((access) => access.machineId === machineId).toReversed(),
    nextCursor: "",
  });

  revokeAccess = ({ id }: SshServiceRevokeAccessRequest) => {
    const access = this.all.find((one) => one.id === id);
    if (access === undefined) {
      throw new Fault(ErrorReason.SSH_ACCESS_NOT_FOUND, `no SSH access has the id ${id}`);
    }
    access.revokedAt ??= timestampNow();
    return { access };
  };
}
