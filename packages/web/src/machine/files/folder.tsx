import type { FileInfo } from "@nullspace/sdk";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { explain } from "../../explain";
import { useMachine } from "../machine-context";
import { Crumbs } from "./crumbs";
import { download } from "./download";
import { DropZone } from "./drop-zone";
import { FileRow } from "./file-row";
import { FolderBar } from "./folder-bar";
import { NameDialog, type NameQuestion } from "./name-dialog";
import { joined } from "./paths";
import { UploadList } from "./upload-list";
import type { Uploads } from "./uploads";

/** Entries that are shown at once. */
const MOST_SHOWN = 1000;

/** What is in a folder, and what can be done with it. */
export function Folder({ path, uploads }: { path: string; uploads: Uploads }) {
  const { id, files } = useMachine();
  const navigate = useNavigate();
  const [question, setQuestion] = useState<NameQuestion>();
  const [refusal, setRefusal] = useState<string>();
  const { data, error, refetch } = useQuery({
    queryKey: ["folder", id, path],
    queryFn: async ({ signal }) => (await files.list(path, { signal })).toSorted(foldersFirst),
    retry: false,
  });
  const reload = () => void refetch();
  const act = useMutation({ mutationFn: (action: () => Promise<unknown>) => action() });

  function upload(chosen: File[]) {
    const there = new Set(data?.map(({ name }) => name));
    const replaced = chosen.map(({ name }) => name).filter((name) => there.has(name));
    const what = replaced.length === 1 ? replaced[0] : `${replaced.length} files`;
    if (replaced.length > 0 && !window.confirm(`Replace ${what} in ${path}?`)) return;
    uploads.add(chosen, path);
  }

  function remove({ name, path: gone, type }: FileInfo) {
    const all = type === "directory" ? " and all that is in it" : "";
    if (!window.confirm(`Remove ${name}${all}? This cannot be undone.`)) return;
    act.mutate(async () => {
      await files.remove(gone, { recursive: type === "directory" });
      await refetch();
    });
  }

  function askNew(kind: "folder" | "file") {
    setQuestion({
      title: `New ${kind} in ${path}`,
      name: "",
      action: "Make",
      perform: async (name) => {
        const target = joined(path, name);
        if (await files.exists(target)) throw new Error(`There is already something at ${target}.`);
        if (kind === "folder") await files.makeDir(target);
        else await files.write(target, "");
        await refetch();
        if (kind === "file") {
          await navigate({
            to: "/machines/$id/files",
            params: { id },
            search: { folder: path, file: target },
          });
        }
      },
    });
  }

  function askRename(entry: FileInfo) {
    setQuestion({
      title: `Rename ${entry.name}`,
      name: entry.name,
      action: "Rename",
      perform: async (name) => {
        const target = joined(path, name);
        if (target === entry.path) return;
        if (await files.exists(target)) throw new Error(`There is already something at ${target}.`);
        await files.rename(entry.path, target);
        await refetch();
      },
    });
  }

  const problem = refusal ?? (act.error ? explain(act.error) : undefined);
  return (
    <DropZone onFiles={upload} onRefused={setRefusal}>
      <div className="bar">
        <Crumbs folder={path} />
        <FolderBar
          onRefresh={() => {
            act.reset();
            setRefusal(undefined);
            reload();
          }}
          onNewFolder={() => askNew("folder")}
          onNewFile={() => askNew("file")}
          onUpload={upload}
        />
      </div>
      <UploadList uploads={uploads.all} onCancel={uploads.cancel} />
      {problem !== undefined && (
        <p className="failure" role="alert">
          {problem}
        </p>
      )}
      {error !== null && (
        <p className="failure" role="alert">
          {explain(error)}
        </p>
      )}
      {data === undefined && error === null && <p className="quiet loading">Reading the folder…</p>}
      {data?.length === 0 && (
        <p className="nothing card">This folder is empty. Drop files here, or press Upload.</p>
      )}
      {data !== undefined && data.length > 0 && (
        <table className="machines files">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Size</th>
              <th scope="col">Changed</th>
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {data.slice(0, MOST_SHOWN).map((entry) => (
              <FileRow
                key={entry.rawName === undefined ? entry.path : [...entry.rawName].join()}
                entry={entry}
                folder={path}
                onDownload={() => act.mutate(() => download(files, entry.path))}
                onRename={() => askRename(entry)}
                onRemove={() => remove(entry)}
              />
            ))}
          </tbody>
        </table>
      )}
      {data !== undefined && data.length > MOST_SHOWN && (
        <p className="quiet fine under">
          The first {MOST_SHOWN} of {data.length}. The terminal shows them all.
        </p>
      )}
      <NameDialog question={question} onClose={() => setQuestion(undefined)} />
    </DropZone>
  );
}

function foldersFirst(a: FileInfo, b: FileInfo): number {
  const [first, second] = [a, b].map(({ type }) => (type === "directory" ? 0 : 1));
  return (first ?? 0) - (second ?? 0) || a.name.localeCompare(b.name);
}
