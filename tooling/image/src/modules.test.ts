import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findByName, findByPrefix, inLoadOrder, parseModulesDep } from "./modules.ts";

const DEP = `kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
`;

describe("modules.dep", () => {
  const all = parseModulesDep(DEP);

  it("gives every module with what it needs", () => {
    expect(all.get("kernel/fs/mbcache.ko")).toEqual([]);
    expect(all.get("kernel/fs/ext4/ext4.ko")).toHaveLength(3);
    expect(all.size).toBe(7);
  });

  it("refuses a line that names no module", () => {
    expect(() => parseModulesDep("what is this\n")).toThrow("without a module");
  });

  it("finds modules by name and by place", () => {
    expect(findByName(all, ["virtio-rng"])).toEqual([
      "kernel/drivers/char/hw_random/virtio-rng.ko",
    ]);
    expect(() => findByName(all, ["ext5"])).toThrow("no module named ext5");
    expect(findByPrefix(all, ["drivers/virtio/"])).toHaveLength(2);
  });

  it("orders indirect dependencies before their users", () => {
    expect(inLoadOrder(all, findByName(all, ["virtio-rng", "virtio"]))).toEqual([
      "kernel/drivers/virtio/virtio_ring.ko",
      "kernel/drivers/virtio/virtio.ko",
      "kernel/drivers/char/hw_random/virtio-rng.ko",
    ]);
  });

  it("refuses a circle and a dependency that is not there", () => {
    expect(() => inLoadOrder(parseModulesDep("a: b\nb: a\n"), ["a"])).toThrow("depends on itself");
    expect(() => inLoadOrder(parseModulesDep("a: b\n"), ["a"])).toThrow("no module b");
  });

  it("puts each module once and after all it needs, whatever the graph", () => {
    const graphs = fc
      .array(fc.array(fc.nat({ max: 30 }), { maxLength: 5 }), { maxLength: 30 })
      // A module needs only modules of lower number: no circles.
      .map((rows) => rows.map((row, index) => row.filter((needed) => needed < index)));
    fc.assert(
      fc.property(graphs, (graph) => {
        const dependencies = new Map(graph.map((row, index) => [`${index}`, row.map(String)]));
        const order = inLoadOrder(dependencies, [...dependencies.keys()].toReversed());
        expect(order.toSorted()).toEqual([...dependencies.keys()].toSorted());
        for (const [path, needed] of dependencies) {
          for (const dependency of needed) {
            expect(order.indexOf(dependency)).toBeLessThan(order.indexOf(path));
          }
        }
      }),
    );
  });
});
