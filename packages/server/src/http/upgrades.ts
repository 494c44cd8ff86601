import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { machineInSshRelayPath } from "../domain/ssh/relay-path.js";
import { answerAndClose } from "../edge/closing-answer.js";
import type { PreviewEdge } from "../edge/preview/preview-edge.js";
import type { SshRelay } from "../edge/ssh/relay.js";
import type { UpgradeHandler } from "./listener.js";
import { isPrivate } from "./private-way.js";

/** What a CONNECT may ask for: a machine's SSH, and nothing else that there is in the world. */
const SSH_TARGET = /^([a-z0-9]{1,64}):22$/;

/** What {@link createUpgrades} needs. */
export interface UpgradesOptions {
  readonly previews: Pick<PreviewEdge, "placeOf" | "upgrade">;
  readonly sshRelay: SshRelay;
  /** Whether only this computer may come without TLS. */
  readonly requireTls: boolean;
}

/**
 * WebSockets, to hosts of previews and to machines' SSH, and CONNECT, to the latter. Whatever else
 * asks for another protocol goes on with HTTP.
 */
export function createUpgrades({
  previews,
  sshRelay,
  requireTls,
}: UpgradesOptions): UpgradeHandler {
  const isAllowed = (request: IncomingMessage) => !requireTls || isPrivate(request);
  return {
    wants: (request) =>
      request.headers.upgrade?.toLowerCase() === "websocket" &&
      (previews.placeOf(request) !== undefined || relayedMachine(request) !== undefined) &&
      isAllowed(request),
    take(request, socket, head) {
      const place = previews.placeOf(request);
      // By its host alone, as with other requests: this path of a preview is the preview's.
      const machineId = place === undefined ? relayedMachine(request) : undefined;
      if (machineId !== undefined) sshRelay.webSocket(machineId, { request, socket, head });
      else void previews.upgrade(place ?? "none", request, socket, head);
    },
    connect(request, socket, head) {
      const machineId = SSH_TARGET.exec(request.url ?? "")?.[1];
      if (!isAllowed(request)) refuse(socket, 403);
      else if (machineId === undefined) refuse(socket, 404);
      else sshRelay.tunnel(machineId, { request, socket, head });
    },
  };
}

function relayedMachine({ url = "" }: IncomingMessage): string | undefined {
  return machineInSshRelayPath(url);
}

function refuse(socket: Duplex, status: number): void {
  socket.on("error", () => socket.destroy());
  answerAndClose(socket, status);
}
