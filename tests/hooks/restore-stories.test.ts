import { testStories } from './restore-stories.ts';

testStories('3.6.27', 1);
