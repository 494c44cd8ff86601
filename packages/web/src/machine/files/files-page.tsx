import { useQueryClient } from "@tanstack/react-query";
import { useBlocker, useSearch } from "@tanstack/react-router";
import { useMachine, useRecord } from "../machine-context";
import { FileEditor } from "./file-editor";
import { Folder } from "./folder";
import { parentOf } from "./paths";
import { isUnderWay, useUploads } from "./uploads";

/** The machine's files: a folder, or one file of it. Uploads go on while one looks around. */
export function FilesPage() {
  const { cwd } = useRecord();
  const { id, files } = useMachine();
  const { folder, file } = useSearch({ from: "/signed-in/machines/$id/running/files" });
  const queryClient = useQueryClient();
  const uploads = useUploads(files, () => {
    void queryClient.invalidateQueries({ queryKey: ["folder", id] });
  });
  const busy = uploads.all.some(isUnderWay);
  useBlocker({
    shouldBlockFn: ({ current, next }) =>
      busy &&
      next.pathname !== current.pathname &&
      !window.confirm("Leave the files? Uploads that are not complete are cancelled."),
    enableBeforeUnload: () => busy,
  });

  if (file !== undefined) {
    return <FileEditor key={file} path={file} folder={folder ?? parentOf(file)} />;
  }
  const path = folder ?? (cwd || "/");
  return <Folder key={path} path={path} uploads={uploads} />;
}
