/** Far smaller than PostgreSQL's segments, so that thousands of histories take seconds; the test lifts the lower bound. */
export const historySegmentSize = 8192;
