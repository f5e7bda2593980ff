import { testStories } from './restore-stories.ts';

testStories('2.9.49', 10001);
