import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { setUpLanguage } from './lib/i18n/index.svelte.ts';
import { parseQuery } from './lib/route.ts';

const target = document.getElementById('app');
if (!target) throw new Error('The page has no place for the app.');
await setUpLanguage(parseQuery(location.search).lang);
mount(App, { target });
