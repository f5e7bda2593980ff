import type { HookContext } from './context.ts';
import type { HookOperation, Task, UnitState } from './state.ts';

/** How a run of the charm ended. */
export type Ending =
  | { readonly how: 'exit'; readonly exitCode: number; readonly stdout: string; readonly stderr: string }
  /** There was nothing to run. */
  | { readonly how: 'missing' }
  /** The agent went down with it: nothing of it is written, and a hook is queued again. */
  | { readonly how: 'crash' }
  /** The same, after what it wrote was written. */
  | { readonly how: 'crash-after-commit' }
  /** It was ended because the action was cancelled. */
  | { readonly how: 'abort'; readonly stdout: string; readonly stderr: string };

/** How an application's units run their charm. */
export interface Runner {
  /** Before a unit's first hook, and whenever it gets another revision. */
  deploy(unit: UnitState): Promise<void>;
  run(context: HookContext, operation: HookOperation | Task): Promise<Ending>;
  /** When the unit is gone. */
  remove(unit: UnitState): Promise<void>;
}
