/**
 * The instants between which the archiver and the prefetcher may die, in the order in which they come: after each of them
 * something durable is half done. The crash tests kill at every one of them; production passes a function that does nothing.
 */
export const walSteps = [
  'spool folder made',
  'spool in force',
  'repository proven',
  'file found',
  'file read',
  'file stored',
  'half acknowledged',
  'acknowledged',
  'forgotten',
  'failing said',
] as const;

type WalStep = (typeof walSteps)[number];
export type WalSteps = (step: WalStep) => void;

/** The same of a stream. */
export const streamSteps = [
  'failure noted',
  'folder made',
  'begun',
  'receiving',
  'earlier stored',
  'history stored',
  'segment stored',
  'segment forgotten',
  'beginning stored',
  'beginnings swept',
  'beginning forgotten',
  'left stored',
  'left forgotten',
  'success noted',
] as const;

export type StreamStep = (typeof streamSteps)[number];
export type StreamSteps = (step: StreamStep) => void;

/** The same of the jobs that make and drop a stream's slot. */
export const slotSteps = [
  'need recorded',
  'marker written',
  'slot made',
  'loss recorded',
  'faulty slot dropped',
  'end written',
  'slot dropped',
  'marker removed',
  'received removed',
] as const;

type SlotStep = (typeof slotSteps)[number];
export type SlotSteps = (step: SlotStep) => void;
