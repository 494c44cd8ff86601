import { useMutation } from "@connectrpc/connect-query";
import { MachineService } from "@nullspace/proto";
import { explain } from "../explain";

/** Starts a machine of the default template; it appears in the list by itself. */
export function CreateButton() {
  const { mutate, isPending, error } = useMutation(MachineService.method.create);
  return (
    <div className="create">
      <button
        type="button"
        className="primary"
        disabled={isPending}
        onClick={() =>
          mutate({ idempotencyKey: crypto.getRandomValues(new Uint32Array(4)).join("-") })
        }
      >
        {isPending ? "Starting…" : "New machine"}
      </button>
      {error !== null && (
        <p className="failure" role="alert">
          {explain(error)}
        </p>
      )}
    </div>
  );
}
