import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type PreviewGrant, PreviewService } from "@nullspace/proto";
import { explain } from "../../explain";
import { useNow } from "../../machines/use-now";
import { PreviewRow } from "./preview-row";

interface Props {
  readonly machineId: string;
}

/** The ways into a machine's ports, and a form for another one. */
export function PreviewSection({ machineId }: Props) {
  const now = useNow();
  const { data, error, refetch } = useQuery(PreviewService.method.list, { machineId, limit: 100 });
  const changed = { onSuccess: () => void refetch() };
  const create = useMutation(PreviewService.method.create, changed);
  const grants: readonly PreviewGrant[] = data?.grants ?? [];
  const problem = error ?? create.error;
  const open = async (port: number) => {
    // Opened at the press itself: a window that comes later is blocked.
    const shown = window.open("about:blank");
    try {
      const { httpUrl } = await create.mutateAsync({ machineId, port });
      if (shown !== null) shown.opener = null;
      shown?.location.replace(httpUrl);
    } catch {
      // The form tells why.
      shown?.close();
    }
  };
  return (
    <section aria-labelledby="machine-previews">
      <h2 id="machine-previews">Previews</h2>
      <form
        className="bar"
        onSubmit={(event) => {
          event.preventDefault();
          void open(Number(new FormData(event.currentTarget).get("port")));
        }}
      >
        <label>
          Port <input name="port" type="number" min={1} max={65_535} required defaultValue={3000} />
        </label>
        <button type="submit" disabled={create.isPending}>
          Open for an hour
        </button>
      </form>
      {problem !== null && (
        <p className="failure" role="alert">
          {explain(problem)}
        </p>
      )}
      {data !== undefined && grants.length === 0 && (
        <p className="quiet">None yet. Nobody but you reaches what listens in this machine.</p>
      )}
      {grants.length > 0 && (
        <table className="machines">
          <thead>
            <tr>
              <th scope="col">Port</th>
              <th scope="col">Until</th>
              <th scope="col">Uses</th>
              <th scope="col">Bytes</th>
              <th scope="col">Last error</th>
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {grants.map((grant) => (
              <PreviewRow key={grant.id} grant={grant} now={now} onRevoked={() => void refetch()} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
