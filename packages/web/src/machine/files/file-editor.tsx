import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, Navigate, useBlocker } from "@tanstack/react-router";
import { type KeyboardEvent, useState } from "react";
import { explain } from "../../explain";
import { useMachine } from "../machine-context";
import { Crumbs } from "./crumbs";
import { download } from "./download";
import { editableText, fileText, LARGEST_BYTES } from "./editable";
import { parentOf, resolved } from "./paths";

interface Props {
  path: string;
  folder: string;
}

/** One file: small texts can be changed, everything can be downloaded. */
export function FileEditor({ path, folder }: Props) {
  const { id, files } = useMachine();
  const name = path.slice(path.lastIndexOf("/") + 1);
  const [changed, setChanged] = useState<string>();
  const [overwrite, setOverwrite] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: ["file", id, path],
    queryFn: async ({ signal }) => {
      const info = await files.info(path, { signal });
      if (info.type !== "file") return { info, content: undefined };
      const tooLarge = { refusal: "This file is too large to be shown here." };
      if (info.size > LARGEST_BYTES) return { info, content: tooLarge };
      // It may have grown since, and files of the kernel do not tell their size.
      const read = await files.read(path, { format: "bytes", length: LARGEST_BYTES + 1, signal });
      return { info, content: read.length > LARGEST_BYTES ? tooLarge : editableText(read) };
    },
    // What is being edited does not change by itself.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
  const content = data?.content;
  const text = content !== undefined && "text" in content ? content : undefined;
  const unsaved = text !== undefined && changed !== undefined && changed !== text.text;

  const save = useMutation({
    mutationFn: async () => {
      if (text === undefined || changed === undefined || data === undefined) return;
      if (!overwrite) {
        const now = await files.info(path).catch(() => undefined);
        if (now !== undefined && now.modifiedAt.getTime() !== data.info.modifiedAt.getTime()) {
          setOverwrite(true);
          throw new Error(
            "The file was changed in the machine since you opened it. Save again to replace it.",
          );
        }
      }
      await files.write(path, fileText({ ...text, text: changed }));
      setOverwrite(false);
      await refetch();
    },
  });
  const fetch = useMutation({ mutationFn: () => download(files, path) });

  useBlocker({
    shouldBlockFn: () =>
      unsaved && !window.confirm(`Leave ${name}? What you changed is not saved.`),
    enableBeforeUnload: () => unsaved,
  });

  function saveByKey(event: KeyboardEvent) {
    if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (unsaved && !save.isPending) save.mutate();
  }

  if (data?.info.type === "directory") {
    return <Navigate to="/machines/$id/files" params={{ id }} search={{ folder: path }} replace />;
  }
  const target = data?.info.symlinkTarget;
  const problem = error ?? save.error ?? fetch.error;
  return (
    <section aria-label={name} className="editor">
      <div className="bar">
        <Crumbs folder={folder} file={name} />
        <div className="bar-actions">
          <span className="quiet fine" role="status">
            {save.isPending && "Saving…"}
            {!save.isPending && unsaved && "Not saved"}
            {save.isSuccess && !unsaved && "Saved"}
          </span>
          <button type="button" onClick={() => fetch.mutate()}>
            Download
          </button>
          {text !== undefined && (
            <button
              type="button"
              className="primary"
              disabled={!unsaved || save.isPending}
              onClick={() => save.mutate()}
            >
              Save
            </button>
          )}
        </div>
      </div>
      {problem !== null && (
        <p className="failure" role="alert">
          {explain(problem)}
        </p>
      )}
      {data === undefined && error === null && <p className="quiet loading">Reading the file…</p>}
      {content !== undefined && "refusal" in content && (
        <p className="nothing card">{content.refusal} Download it to look into it.</p>
      )}
      {target !== undefined && (
        <p className="nothing card">
          This is a link.{" "}
          <Link
            to="/machines/$id/files"
            params={{ id }}
            search={{ file: resolved(parentOf(path), target) }}
          >
            Open {target}
          </Link>
        </p>
      )}
      {text !== undefined && (
        <textarea
          aria-label={`Content of ${name}`}
          value={changed ?? text.text}
          spellCheck={false}
          autoCapitalize="off"
          autoCorrect="off"
          wrap="off"
          onChange={(event) => setChanged(event.target.value)}
          onKeyDown={saveByKey}
        />
      )}
    </section>
  );
}
