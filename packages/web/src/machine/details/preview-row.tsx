import { timestampDate } from "@bufbuild/protobuf/wkt";
import { useMutation } from "@connectrpc/connect-query";
import { type PreviewGrant, PreviewKind, PreviewService } from "@nullspace/proto";
import { explain } from "../../explain";
import { bytes } from "../../machines/format";

interface Props {
  readonly grant: PreviewGrant;
  /** In milliseconds since the epoch. */
  readonly now: number;
  readonly onRevoked: () => void;
}

/** One way into a port. */
export function PreviewRow({ grant, now, onRevoked }: Props) {
  const revoke = useMutation(PreviewService.method.revoke, { onSuccess: onRevoked });
  const { id, port, kind, revokedAt, expiresAt, lastError } = grant;
  const uses = grant.httpRequestCount + grant.websocketConnectionCount;
  const expires = expiresAt === undefined ? undefined : timestampDate(expiresAt);
  const isOver = revokedAt !== undefined || (expires?.getTime() ?? 0) <= now;
  return (
    <tr>
      <th scope="row" title={id}>
        {port} {kind === PreviewKind.PROXY && <span className="quiet">by proxy</span>}
        {revoke.error !== null && (
          <p className="failure" role="alert">
            {explain(revoke.error)}
          </p>
        )}
      </th>
      <td data-label="Until">{revokedAt === undefined ? expires?.toLocaleString() : "revoked"}</td>
      <td data-label="Uses" className="number">
        {String(uses)}
      </td>
      <td data-label="Bytes" className="number">
        {bytes(Number(grant.bytesIn + grant.bytesOut))}
      </td>
      <td data-label="Last error">{lastError}</td>
      <td className="actions">
        {!isOver && (
          <button
            type="button"
            className="danger"
            disabled={revoke.isPending}
            onClick={() => revoke.mutate({ id })}
          >
            Revoke<span className="hidden"> {id}</span>
          </button>
        )}
      </td>
    </tr>
  );
}
