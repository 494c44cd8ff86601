import { TLSSocket } from "node:tls";
import type { EdgeRequest } from "../edge/exchange.js";

/** Whether nobody between the client and us can read a request: it comes by TLS, or from this computer. */
export function isPrivate({ socket }: Pick<EdgeRequest, "socket">): boolean {
  if (socket instanceof TLSSocket || ("encrypted" in socket && socket.encrypted === true)) {
    return true;
  }
  const { remoteAddress = "", localAddress } = socket;
  return remoteAddress === localAddress || /^(?:::ffff:)?127\.|^::1$/.test(remoteAddress);
}
