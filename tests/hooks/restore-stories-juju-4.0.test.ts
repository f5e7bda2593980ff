import { testStories } from './restore-stories.ts';

testStories('4.0.15', 20001);
