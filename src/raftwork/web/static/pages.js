// Every page by the name in its address, with its title in the menu. Its code is loaded when somebody
// opens it: whoever looks at one page does not load them all.

const page = (title, load) => ({ title, load });

export const PAGES = {
  overview: page("Overview", async () => (await import("./pages/overview.js")).overview),
  running: page("Running", async () => (await import("./pages/running.js")).running),
  tasks: page("Tasks", async () => (await import("./pages/tasks.js")).tasks),
  queues: page("Queues", async () => (await import("./pages/queues.js")).queues),
  workers: page("Workers", async () => (await import("./pages/workers.js")).workers),
  failures: page("Failures", async () => (await import("./pages/failures.js")).failures),
  dead: page("Dead", async () => (await import("./pages/dead.js")).dead),
  schedules: page("Schedules", async () => (await import("./pages/schedules.js")).schedules),
  flows: page("Flows", async () => (await import("./pages/flows.js")).flows),
  limits: page("Limits", async () => (await import("./pages/limits.js")).limits),
  cluster: page("Cluster", async () => (await import("./pages/cluster.js")).cluster),
  task: page("Task", async () => (await import("./pages/tasks.js")).task),
  schedule: page("Schedule", async () => (await import("./pages/schedule.js")).schedule),
  queue: page("Queue", async () => (await import("./pages/queue.js")).queue),
  worker: page("Worker", async () => (await import("./pages/worker.js")).worker),
  flow: page("Flow", async () => (await import("./pages/flows.js")).flow),
};

// The others belong to one of these.
export const BELOW = { task: "tasks", flow: "flows", queue: "queues", worker: "workers", schedule: "schedules" };
export const IN_MENU = Object.keys(PAGES).filter((name) => !Object.hasOwn(BELOW, name));
