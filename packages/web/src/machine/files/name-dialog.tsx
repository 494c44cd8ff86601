import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useRef } from "react";
import { explain } from "../../explain";

/** A question for a name. */
export interface NameQuestion {
  title: string;
  /** What the field holds at first. */
  name: string;
  /** Word on the button. */
  action: string;
  /** Does it; what it throws is shown, and asked again. */
  perform: (name: string) => Promise<void>;
}

interface Props {
  /** None closes the dialog. */
  question: NameQuestion | undefined;
  onClose: () => void;
}

/** Asks for the name of a file or folder. */
export function NameDialog({ question, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: async (name: string) => question?.perform(name),
    onSuccess: onClose,
  });
  useEffect(() => {
    if (question === undefined) return dialog.current?.close();
    reset();
    dialog.current?.showModal();
    if (field.current === null) return;
    field.current.value = question.name;
    // The extension mostly stays.
    const dot = question.name.lastIndexOf(".");
    field.current.setSelectionRange(0, dot > 0 ? dot : question.name.length);
  }, [question, reset]);

  function submit(event: FormEvent) {
    event.preventDefault();
    const name = field.current?.value.trim() ?? "";
    if (name !== "") mutate(name);
  }

  return (
    <dialog ref={dialog} className="card" aria-labelledby={`${id}-title`} onClose={onClose}>
      <form className="name-form" onSubmit={submit}>
        <h2 id={`${id}-title`}>{question?.title}</h2>
        <input
          ref={field}
          aria-label="Name"
          aria-describedby={`${id}-problem`}
          aria-invalid={error !== null}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          required
        />
        <p id={`${id}-problem`} className="failure" role="alert">
          {error !== null && explain(error)}
        </p>
        <div className="choices">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isPending}>
            {question?.action}
          </button>
        </div>
      </form>
    </dialog>
  );
}
