import type { ServiceImpl } from "@connectrpc/connect";
import type { GitService } from "@nullspace/proto/agent";
import type { GitServiceOptions } from "./options.js";
import { type Progress, withProgress } from "./progress.js";

type Methods = Pick<ServiceImpl<typeof GitService>, "clone" | "fetch" | "pull" | "push">;

/** Methods that go over the network, and tell how far they are. */
export function networkMethods({ network }: GitServiceOptions): Methods {
  return {
    async *clone(request, { signal }) {
      yield* stream((tell) => network.clone(request, tell, signal));
    },
    async *fetch(request, { signal }) {
      yield* stream((tell) => network.fetch(request, tell, signal));
    },
    async *pull(request, { signal }) {
      yield* stream((tell) => network.pull(request, tell, signal));
    },
    async *push(request, { signal }) {
      yield* stream((tell) => network.push(request, tell, signal));
    },
  };
}

async function* stream<T>(work: (tell: (progress: Progress) => void) => Promise<T>) {
  for await (const step of withProgress(work)) {
    if ("progress" in step) yield { event: { case: "progress" as const, value: step.progress } };
    else yield { event: { case: "done" as const, value: step.done } };
  }
}
