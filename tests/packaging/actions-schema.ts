import { z } from 'zod';

const paramSchema = z.object({
  type: z.enum(['string', 'integer', 'boolean']),
  default: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  pattern: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  maxLength: z.number().optional(),
});

/** One parameter of an action. */
export type Parameter = z.infer<typeof paramSchema>;

/** `actions.yaml`, as far as tests go by it. */
export const actionsSchema = z.record(
  z.string(),
  z.object({ required: z.array(z.string()).default([]), params: z.record(z.string(), paramSchema) }),
);
