import { useMutation } from "@connectrpc/connect-query";
import { type Machine, MachineService } from "@nullspace/proto";
import { useEffect, useRef } from "react";
import { explain } from "../explain";

interface Props {
  /** The machine that is asked about; none closes the dialog. */
  machine: Machine | undefined;
  onClose: () => void;
}

/** Asks before a machine is killed. */
export function KillDialog({ machine, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { mutate, isPending, error, reset } = useMutation(MachineService.method.kill, {
    onSuccess: onClose,
  });
  useEffect(() => {
    if (machine === undefined) return dialog.current?.close();
    reset();
    dialog.current?.showModal();
  }, [machine, reset]);

  return (
    <dialog ref={dialog} className="card" aria-labelledby="kill-title" onClose={onClose}>
      <h2 id="kill-title">Kill this machine?</h2>
      <p>
        <code className="id">{machine?.id}</code> and everything in it will be gone. This cannot be
        undone.
      </p>
      {error !== null && (
        <p className="failure" role="alert">
          {explain(error)}
        </p>
      )}
      <div className="choices">
        <button type="button" onClick={onClose}>
          Keep it
        </button>
        <button
          type="button"
          className="danger filled"
          disabled={isPending}
          onClick={() => machine && mutate({ id: machine.id })}
        >
          {isPending ? "Killing…" : "Kill it"}
        </button>
      </div>
    </dialog>
  );
}
