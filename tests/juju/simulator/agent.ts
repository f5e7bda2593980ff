import { randomBytes } from 'node:crypto';
import { HookContext } from './context.ts';
import type { Ending } from './runner.ts';
import type { ActionResult, HistoryLine, HookOperation, Operation, Task, UnitState } from './state.ts';

/** The locks that an operation holds while it runs. */
function locksOf(operation: Operation): readonly string[] {
  if (operation.kind === 'silent') return [];
  return operation.kind === 'action' ? operation.locks : ['machine-lock'];
}

/** Tells whether nobody else on the machine holds a lock that the operation needs. */
export function canLock(unit: UnitState, operation: Operation): boolean {
  return locksOf(operation).every((name) => !unit.machine.locks.has(name));
}

/** Runs one operation of a unit to its end. The unit does nothing else meanwhile. */
export async function runOperation(unit: UnitState, operation: Operation): Promise<void> {
  if (operation.kind === 'silent') {
    const work = operation.apply();
    if (work === undefined) return;
    unit.busy = true;
    try {
      await work;
    } finally {
      unit.busy = false;
    }
    return;
  }
  const locks = locksOf(operation);
  unit.busy = true;
  for (const name of locks) unit.machine.locks.set(name, unit);
  try {
    if (operation.kind === 'hook') await runHook(unit, operation);
    else if (operation.kind === 'action') await runTask(unit, operation);
    else {
      unit.commands.splice(unit.commands.indexOf(operation), 1);
      await operation.run(unit);
    }
  } finally {
    for (const name of locks) unit.machine.locks.delete(name);
    unit.context = undefined;
    unit.busy = false;
  }
}

/** The id of a hook's context, as JUJU_CONTEXT_ID has it. */
export function contextId(unit: UnitState, what: string): string {
  return `${unit.name}-${what}-${nextContext()}`;
}

let contexts = 0;
const run = randomBytes(8).toString('hex');

/** 32 hexadecimal digits that nobody else has; counting is faster than chance. */
function nextContext(): string {
  contexts += 1;
  return run + contexts.toString(16).padStart(16, '0');
}

async function runHook(unit: UnitState, operation: HookOperation): Promise<void> {
  const took = (end: HistoryLine['end']) =>
    unit.history.push({
      name: operation.name,
      remote: operation.remoteUnit?.name,
      departing: operation.departing,
      end,
    });
  if (operation.isStale?.() === true) {
    took('skipped');
    settled(unit, operation);
    return;
  }
  announce(unit, operation.name);
  const context = new HookContext(contextId(unit, operation.name), unit, operation);
  const ending = await runIn(unit, context, operation);
  if (ending.how === 'crash' || ending.how === 'crash-after-commit') {
    if (ending.how === 'crash-after-commit') context.commit();
    settled(unit, operation);
    unit.queued = operation;
    restarted(unit);
    took('crashed');
    return;
  }
  const ended = ending.how === 'missing' || (ending.how === 'exit' && ending.exitCode === 0);
  if (ended && context.commit()) {
    settled(unit, operation);
    operation.done();
    concluded(unit, operation.name);
    took('done');
    return;
  }
  const tries = unit.failed?.operation === operation ? unit.failed.tries + 1 : 1;
  settled(unit, operation);
  unit.failed = { operation, tries };
  took('failed');
}

async function runIn(unit: UnitState, context: HookContext, operation: HookOperation | Task): Promise<Ending> {
  unit.context = context;
  try {
    return await unit.application.runner.run(context, operation);
  } finally {
    context.close();
  }
}

/** The hook is not waited for any more. */
function settled(unit: UnitState, operation: HookOperation): void {
  if (unit.failed?.operation === operation) unit.failed = undefined;
  if (unit.queued === operation) unit.queued = undefined;
}

/** An agent that starts tells its charm of the configuration once more. */
export function restarted(unit: UnitState): void {
  if (unit.started) unit.configSeen = -1;
}

/** What Juju itself says of a unit around its hooks. */
function announce(unit: UnitState, name: string): void {
  if (name === 'install' && !unit.statusWasSet) {
    unit.workload = { status: 'maintenance', message: 'installing charm software' };
  }
  if (name === 'stop') unit.workload = { status: 'maintenance', message: 'stopping charm software' };
  if (name === 'remove') unit.workload = { status: 'maintenance', message: 'cleaning up prior to charm deletion' };
}

function concluded(unit: UnitState, name: string): void {
  if (name === 'start' && !unit.statusWasSet) unit.workload = { status: 'unknown', message: '' };
  if (name === 'update-status') unit.updateStatusDue = false;
}

async function runTask(unit: UnitState, task: Task): Promise<void> {
  unit.tasks.splice(unit.tasks.indexOf(task), 1);
  task.status = 'running';
  const context = new HookContext(contextId(unit, task.name), unit, task);
  const ending = await runIn(unit, context, task);
  const result = conclude(unit, task, context, ending);
  task.status = result.status;
  task.result = result;
  unit.history.push({
    name: task.name,
    remote: undefined,
    departing: undefined,
    end: result.status === 'completed' ? 'done' : 'failed',
  });
  task.finish(result);
}

function conclude(unit: UnitState, task: Task, context: HookContext, ending: Ending): ActionResult {
  const { log } = task;
  switch (ending.how) {
    case 'missing':
      return {
        status: 'failed',
        message: `action not implemented on unit "${unit.name}"`,
        results: {},
        log,
        exitCode: 1,
      };
    case 'crash':
    case 'crash-after-commit':
      if (ending.how === 'crash-after-commit') context.commit();
      restarted(unit);
      return { status: 'failed', message: 'action terminated', results: {}, log, exitCode: 1 };
    case 'abort':
      return {
        status: 'aborted',
        message: 'terminated',
        results: { ...context.results, ...printed(ending) },
        log,
        exitCode: 1,
      };
    case 'exit':
      break;
  }
  const { exitCode } = ending;
  const results = { ...context.results, ...printed(ending), 'return-code': exitCode };
  if (exitCode !== 0) return { status: 'failed', message: `exit status ${exitCode}`, results, log, exitCode: 1 };
  if (!context.commit()) {
    return { status: 'failed', message: 'committing requested changes failed', results, log, exitCode: 1 };
  }
  const { failure } = context;
  if (failure !== undefined) return { status: 'failed', message: failure, results, log, exitCode: 0 };
  return { status: 'completed', message: '', results, log, exitCode: 0 };
}

function printed({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): Record<string, string> {
  return { ...(stdout === '' ? {} : { stdout }), ...(stderr === '' ? {} : { stderr }) };
}
